"""Print every alert of a plant once: `python subscribe_alerts.py HOST [PORT]`, with paho-mqtt.

The broker keeps what comes while this is away (persistent session, QoS 1) and may send it twice.
For logins, TLS, pictures and a record of what was refused use `edge-deploy watch`, or add them.
"""

import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes

seen = set()  # a real consumer keeps it: message_id as a key of the table that it writes


def on_message(client, _userdata, message):
    try:
        alert = json.loads(message.payload)
        if alert["message_id"] not in seen:
            seen.add(alert["message_id"])
            words = [alert[key] for key in ("event", "part_id", "verdict", "reason")]
            print(message.topic, json.dumps(words), flush=True)  # whose alert: the topic says
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        print("cannot be read:", message.topic, repr(error), file=sys.stderr, flush=True)
    client.ack(message.mid, message.qos)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "my-alerts", protocol=5, manual_ack=True)
client.on_connect = lambda *_: client.subscribe("inspect/v1/+/+/+/cam/+/alert", qos=1)
client.on_message = on_message
week = mqtt.Properties(PacketTypes.CONNECT)
week.SessionExpiryInterval = 7 * 24 * 3600
client.connect(sys.argv[1], int((*sys.argv, 1883)[2]), clean_start=False, properties=week)
client.loop_forever()
