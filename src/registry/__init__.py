"""Model versions: policy, promotion, model card, MLflow registry."""
