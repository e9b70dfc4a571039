"""A real RTSP server on loopback, as a process: GStreamer's, with an H.264 test picture.

Run by the system's Python, which has PyGObject: `rtsp_server.py PORT [GOP [LOSS]]`, frames between
two key frames and share of RTP packets that are lost. It prints "ready", then obeys lines on its
input: "640x480" changes the picture's size in the middle of the stream.
"""

from __future__ import annotations

import sys
import threading

PIPELINE = (
    "( videotestsrc is-live=true pattern=smpte horizontal-speed=4 ! "
    "capsfilter name=size caps=video/x-raw,width=320,height=240,framerate=25/1 ! "
    "openh264enc gop-size={gop} ! h264parse ! rtph264pay pt=96 mtu={mtu} config-interval=-1 "
    "! identity name=pay0 drop-probability={loss} )"
)


def serve(port: int, gop: int = 12, loss: float = 0.0) -> None:
    """Serve rtsp://127.0.0.1:PORT/line until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init([])
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(port))
    pipeline = PIPELINE.format(gop=gop, loss=loss, mtu=300 if loss else 1400)
    factory = GstRtspServer.RTSPMediaFactory(launch=pipeline, shared=True)
    sizes = []
    factory.connect(
        "media-configure",
        lambda _, media: sizes.append(media.get_element().get_by_name_recurse_up("size")),
    )
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)

    def obey() -> None:
        for line in sys.stdin:
            w, _, h = line.strip().partition("x")
            caps = Gst.Caps.from_string(f"video/x-raw,width={w},height={h},framerate=25/1")
            sizes[-1].set_property("caps", caps)

    threading.Thread(target=obey, daemon=True).start()
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(int(sys.argv[1]), *map(int, sys.argv[2:3]), *map(float, sys.argv[3:4]))
