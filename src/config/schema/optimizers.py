"""Names of the optimizers of timm's factory that a training can have."""

# Not those that need second derivatives, or a package that is not in requirements.lock.
_NAMES = """
adabelief adadelta adafactor adafactorbv adafactorbvc adagrad adam adamax adamc adamp adamuon adamw
adamwlegacy adan adanw adopt adoptc adoptw cadafactor cadafactorbv cadafactorbvc cadamc cadamp cadamw
cadan cadanw cadopt cadoptc cadoptw clamb clambw claprop clion clionc cmars cnadamc cnadamw crmsproptf
csgdc csgdp csgdw kron kronc kronw lamb lambc lambcd lambcw lambw laprop lapropc larc lars lion lionc
madgrad madgradw mars momentum muon nadam nadamc nadamlegacy nadamuon nadamw nesterov nesterovw nlarc
nlars nmuon novograd novogradc novogradw radabelief radam radamlegacy radamw rmsprop rmsproptf rmsproptfc
rmsproptfw sgd sgdc sgdp sgdw
"""
OPTIMIZERS = tuple(_NAMES.split())
# Those that compute the same bytes on every CPU: src/auditing/probes.py compares them.
PORTABLE = ("sgd", "momentum", "sgdw", "adam", "adamw", "adamax", "lion", "lars", "adafactorbv")
