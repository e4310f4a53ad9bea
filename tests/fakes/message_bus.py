"""Private dbus-daemons: a session bus, and a system bus with the policy that is installed on hosts."""

import shutil
import subprocess
from pathlib import Path

BUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>session</type>
 <listen>unix:path={socket}</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
 </policy>
 <limit name="max_replies_per_connection">50000</limit>
</busconfig>
"""


POLICY = Path(__file__).parents[2] / "dbus" / "org.fedorahosted.certmonger.conf"
SYSTEM_BUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>system</type>
 <listen>unix:path={socket}</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/>
  <allow receive_type="method_return"/>
  <allow receive_type="error"/>
  <allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus"/>
 </policy>
 <include>{policy}</include>
</busconfig>
"""
"""What a distribution has in system.conf, as far as it matters here, with the project's policy."""


class Bus:
    """A dbus-daemon of our own, without services it could start."""

    def __init__(self, folder: Path, configuration_text: str = BUS_CONFIGURATION, policy_of: Path = POLICY) -> None:
        socket = folder / "bus"
        configuration, policy = folder / "bus.conf", folder / "policy.conf"
        shutil.copy(policy_of, policy)
        configuration.write_text(configuration_text.format(socket=socket, policy=policy))
        self.address = f"unix:path={socket}"
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline()  # it listens now

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class SystemBus(Bus):
    """One of type "system", with the installed policy, or that of another package; its clients have to be root."""

    def __init__(self, folder: Path, policy_of: Path = POLICY) -> None:
        super().__init__(folder, SYSTEM_BUS_CONFIGURATION, policy_of)
