"""A private dbus-daemon."""

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


class Bus:
    """A dbus-daemon of our own, without services it could start."""

    def __init__(self, folder: Path) -> None:
        socket = folder / "bus"
        configuration = folder / "bus.conf"
        configuration.write_text(BUS_CONFIGURATION.format(socket=socket))
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
