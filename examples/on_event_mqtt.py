#!/usr/bin/env python3
"""Publish each event by MQTT; Home Assistant finds the station by itself. Needs paho-mqtt 2.

pip install 'paho-mqtt>=2'
edgequake-edge run ... --on-event 'python /opt/edgequake/examples/on_event_mqtt.py --host 192.168.1.10'

Home Assistant shows a device with two entities: "Quake" is on from the onset until the event is final, "Last quake" is
the time of the newest onset; all fields of the announcement are their attributes. Other programs read
edgequake/NET_STA/event. User and password: MQTT_USER and MQTT_PASSWORD in the environment.

References
----------
Home Assistant, MQTT discovery, https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

TIMEOUT_S = 8.0  # less than the runner's --on-event-timeout


def messages(text: str, discovery: str) -> list[tuple[str, str, bool]]:
    """Return topic, payload and whether it is retained, of all that is to be published for an announcement."""
    event = json.loads(text)
    station = "".join(c if c.isalnum() or c in "_-" else "-" for c in event["station_id"])
    base = f"edgequake/{station}"
    device = {"identifiers": [f"edgequake_{station}"], "name": f"Seismometer {station}", "manufacturer": "edgequake"}
    common: dict[str, Any] = {"device": device, "json_attributes_topic": f"{base}/event"}
    quake = {
        **common,
        "name": "Quake",
        "unique_id": f"edgequake_{station}_quake",
        "device_class": "vibration",
        "state_topic": f"{base}/quake",
        "off_delay": 3600,  # should the end never come, as after a power failure
    }
    last = {
        **common,
        "name": "Last quake",
        "unique_id": f"edgequake_{station}_last",
        "device_class": "timestamp",
        "state_topic": f"{base}/last",
    }
    return [
        (f"{discovery}/binary_sensor/edgequake_{station}/quake/config", json.dumps(quake), True),
        (f"{discovery}/sensor/edgequake_{station}/last/config", json.dumps(last), True),
        (f"{base}/event", text.strip(), True),
        (f"{base}/last", event["onset"], True),
        (f"{base}/quake", "ON" if event["phase"] == "onset" else "OFF", False),
    ]


def publish(host: str, port: int, outgoing: list[tuple[str, str, bool]]) -> None:
    """Publish messages, and wait until the broker has them.

    Raises
    ------
    OSError
        The broker cannot be reached, or does not answer in time.
    """
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    if user := os.environ.get("MQTT_USER"):
        client.username_pw_set(user, os.environ.get("MQTT_PASSWORD"))
    client.connect_timeout = TIMEOUT_S
    client.connect(host, port)
    client.loop_start()
    try:
        for sent in [client.publish(topic, payload, qos=1, retain=retain) for topic, payload, retain in outgoing]:
            sent.wait_for_publish(TIMEOUT_S)
            if not sent.is_published():
                raise OSError(f"{host}:{port} does not answer, or refuses user and password")
    finally:
        client.disconnect()
        client.loop_stop()


def main() -> None:
    """Publish the event on standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True, help="the broker")
    parser.add_argument("--port", type=int, default=1883, help="default: 1883")
    parser.add_argument(
        "--discovery", default="homeassistant", help="prefix of discovery topics; default: homeassistant"
    )
    arguments = parser.parse_args()
    publish(arguments.host, arguments.port, messages(sys.stdin.read(), arguments.discovery))


if __name__ == "__main__":
    try:
        main()
    except ModuleNotFoundError as problem:
        sys.exit(
            f"mqtt: {sys.executable} has no {problem.name}: pip install 'paho-mqtt>=2', and run this with that Python"
        )
    except (OSError, ValueError) as problem:  # one line in the journal
        sys.exit(f"mqtt: {problem}")
