"""`suanwang probe`: what this host really does, measured in minutes, repeated, median with spread."""

from suanwang.sensing.probing.gauge import Progress
from suanwang.sensing.probing.host import Effort
from suanwang.sensing.probing.probe import HostFacts, ProbeReport, probe

__all__ = ["Effort", "HostFacts", "ProbeReport", "Progress", "probe"]
