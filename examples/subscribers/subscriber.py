"""Keeps a copy of every event of a log, in the log's order, and goes on where it stopped.

    pip install -r requirements.txt
    python3 subscriber.py nats://127.0.0.1:4222 <folder> [<log id>]

README.md beside this file says what the folder holds, and what is proved of every message.
"""

import asyncio
import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote
from urllib.request import Request, urlopen

import nats
import nats.errors
from nats.js.api import ConsumerConfig, DeliverPolicy
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nats.js.errors import NotFoundError

STREAM_PREFIX = "ANAMNESIS_EVENTS_"
# Events after which the checkpoint is saved, even if more are waiting.
UNSAVED_MAX = 256
# Quiet after which it is looked whether the stream is still the same one, and has no more.
QUIET_SECONDS = 5


class Stop(Exception):
    """What a person has to look at."""


class Forged(Exception):
    """Why a message is not the relay's."""


def unbase64(text):
    """Base64url without padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)


class Keys:
    """The relay's public keys, in a file as GET /v1/event-keys has them; without a file nothing is verified."""

    def __init__(self, file):
        self.file = file
        self.known = self.read()

    def read(self):
        if not self.file:
            return {}
        listed = json.loads(Path(self.file).read_text())["keys"]
        return {key["kid"]: Ed25519PublicKey.from_public_bytes(unbase64(key["x"])) for key in listed}

    def verify(self, headers, data):
        """Proves that the relay signed a message, of which the headers are as they came."""
        if not self.file:
            return
        lines = sorted((name.lower(), value) for name, value in (headers or {}).items())
        lines = [(name, value) for name, value in lines if name.startswith("ce-")]
        given = dict(lines)
        if len(given) < len(lines):
            raise Forged("a header is there twice")
        try:
            key_id, signature = given["ce-keyid"], unbase64(given.pop("ce-signature"))
            if key_id not in self.known:
                # The relay may have another key since.
                self.known = self.read()
            text = "anamnesis-event-signature-v1\n" + "".join(f"{name}:{value}\n" for name, value in given.items())
            self.known[key_id].verify(signature, text.encode())
        except KeyError as missing:
            raise Forged(f"it is not signed, or by a key that was not given ({missing})") from missing
        except (InvalidSignature, ValueError) as error:
            raise Forged("its signature does not hold") from error
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        # What is elsewhere is not in the message at all.
        if data != b"" if "ce-dataref" in given else digest != given.get("ce-datahash"):
            raise Forged("its payload is not the one that was signed")


def texts(headers):
    """The headers by their names in lower case, percent-decoded."""
    return {name.lower(): unquote(value, errors="strict") for name, value in (headers or {}).items()}


class Copy:
    """The copy of the log, and how far it has come."""

    def __init__(self, folder, log_id):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "checkpoint.json"
        self.checkpoint = {"logId": log_id, "epoch": 1, "position": 0, "eventId": None, "sequence": 0, "bytes": 0}
        if self.file.exists():
            self.checkpoint = json.loads(self.file.read_text())
        if self.checkpoint["logId"] != log_id:
            raise Stop(f"the checkpoint is of the log {self.checkpoint['logId']}, this is {log_id}")
        events = folder / "events.jsonl"
        events.touch()
        self.events = open(events, "r+b")
        # What was written behind the checkpoint comes again.
        self.events.truncate(self.checkpoint["bytes"])
        self.events.seek(0, os.SEEK_END)
        self.unsaved = 0

    async def hear(self, headers, data, sequence):
        """Takes a message, after proving that it is the next one."""
        try:
            epoch, position = int(headers["ce-epoch"]), int(headers["ce-position"])
            log_id, event_id, kind = headers["ce-logid"], headers["ce-id"], headers["ce-type"]
        except (KeyError, ValueError):
            print(f"message {sequence} is no event of a log; passed over", file=sys.stderr)
            return
        if log_id != self.checkpoint["logId"]:
            print(f"message {sequence} is of another log; passed over", file=sys.stderr)
            return
        if "ce-subject" not in headers:
            self.turn(epoch, json.loads(data))
            return
        if epoch < self.checkpoint["epoch"]:
            print(f"message {sequence} is of the epoch {epoch}, which has ended; passed over", file=sys.stderr)
            return
        if epoch > self.checkpoint["epoch"]:
            raise Stop(f"epoch {epoch} began and nobody said where: copy the log anew")
        if position > self.checkpoint["position"] + 1:
            await asyncio.to_thread(self.fill_up_to, position - 1)
        event = {
            "position": position,
            "id": event_id,
            "type": kind,
            "stream": headers["ce-subject"],
            "data": json.loads(data) if data else None,
            "dataRef": headers.get("ce-dataref"),
        }
        if self.take(event):
            self.checkpoint["sequence"] = sequence

    def take(self, event):
        """Writes down an event that is the next; tells whether it was."""
        known = self.checkpoint
        if event["position"] == known["position"] and known["eventId"] not in (None, event["id"]):
            raise Stop(f"the log has another event at position {event['position']}: stop and look")
        if event["position"] <= known["position"]:
            return False  # It came again.
        line = json.dumps(event).encode() + b"\n"
        self.events.write(line)
        known.update(position=event["position"], eventId=event["id"], bytes=known["bytes"] + len(line))
        self.unsaved += 1
        return True

    def turn(self, epoch, begun):
        """Heeds a control message: where the log began a new epoch, what was taken after that never happened."""
        if epoch <= self.checkpoint["epoch"]:
            return
        later = [began for began in begun["epochs"] if began["epoch"] > self.checkpoint["epoch"]]
        # Where nothing is known of the epoch, everything is taken again.
        kept = min((began["afterPosition"] for began in later), default=0)
        if kept < self.checkpoint["position"]:
            print(f"the log lost events: what came after position {kept} is forgotten", file=sys.stderr)
            self.cut(kept)
        self.checkpoint["epoch"] = epoch
        self.save()

    def cut(self, position):
        """Cuts the copy off behind a position."""
        self.events.seek(0)
        length, last = 0, None
        for line in self.events:
            event = json.loads(line)
            if event["position"] > position:
                break
            length, last = length + len(line), event["id"]
        self.events.truncate(length)
        self.events.seek(0, os.SEEK_END)
        self.checkpoint.update(position=position, eventId=last, bytes=length)

    def save(self):
        """Saves what was written, then the checkpoint, whole or not at all whenever the process is ended."""
        self.events.flush()
        os.fsync(self.events.fileno())
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(self.checkpoint))
        part.replace(self.file)
        self.unsaved = 0

    def fill_up_to(self, position):
        """Takes from the query API what the stream no longer has."""
        url, token = os.environ.get("ANAMNESIS_URL"), os.environ.get("ANAMNESIS_TOKEN")
        if not url or not token:
            first = self.checkpoint["position"] + 1
            raise Stop(f"the stream lacks positions {first} to {position}: set ANAMNESIS_URL and ANAMNESIS_TOKEN")
        print(f"the stream has a gap up to position {position}; filled by the query API", file=sys.stderr)
        # The event's id proves that the log still has it.
        after = self.checkpoint["eventId"] or self.checkpoint["position"]
        request = Request(f"{url}/v1/events?after={after}", headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=60) as frames:
            for line in frames:
                if line.startswith(b"data: "):
                    stored = json.loads(line.removeprefix(b"data: "))
                    self.take(
                        {
                            "position": stored["position"],
                            "id": stored["event_id"],
                            "type": stored["type"],
                            "stream": f"{stored['stream']['type']}/{stored['stream']['id']}",
                            "data": stored["payload"],
                            "dataRef": None,
                        }
                    )
                    if self.checkpoint["position"] >= position:
                        return
        raise Stop("the query API ended the stream; start again")


async def only_log(jetstream):
    """The log that has the only stream on this NATS."""
    names = [info.config.name for info in await jetstream.streams_info()]
    logs = [name.removeprefix(STREAM_PREFIX) for name in names if name.startswith(STREAM_PREFIX)]
    if len(logs) != 1:
        raise Stop(f"{len(logs)} logs have a stream here: give the log's id")
    return logs[0]


async def begin(jetstream, stream, checkpoint):
    """Behind the checkpoint's event, if it is still where it was; otherwise from the stream's beginning."""
    try:
        there = await jetstream.get_msg(stream, checkpoint["sequence"]) if checkpoint["sequence"] else None
    except NotFoundError:
        there = None
    if there and texts(there.headers).get("ce-id") == checkpoint["eventId"]:
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=checkpoint["sequence"] + 1
        )
    return ConsumerConfig(deliver_policy=DeliverPolicy.ALL)


async def follow(jetstream, log_id, copy, keys):
    """Follows the stream until it is another one, or says nothing although it has more."""
    stream = f"{STREAM_PREFIX}{log_id}"
    created = (await jetstream.stream_info(stream)).created
    config = await begin(jetstream, stream, copy.checkpoint)
    heard = config.opt_start_seq - 1 if config.opt_start_seq else 0
    # Control messages come in order between the events.
    subscription = await jetstream.subscribe(
        f"anamnesis.{log_id}.>", stream=stream, config=config, ordered_consumer=True
    )
    try:
        while True:
            try:
                message = await subscription.next_msg(timeout=QUIET_SECONDS)
            except nats.errors.TimeoutError:
                # A stream that was deleted and filled anew has other sequences: a consumer of the old ones hears nothing.
                now = await jetstream.stream_info(stream)
                if now.created != created or now.state.last_seq > heard:
                    return
                continue
            place = message.metadata
            heard = place.sequence.stream
            try:
                keys.verify(message.headers, message.data)
                await copy.hear(texts(message.headers), message.data, heard)
            except Forged as forged:
                # What the log has in its place comes, or is missed and filled up.
                print(f"message {heard} is not the relay's: {forged}; passed over", file=sys.stderr)
            if place.num_pending == 0 or copy.unsaved >= UNSAVED_MAX:
                copy.save()
    finally:
        await subscription.unsubscribe()


async def main(url, folder, log_id=None):
    connection = await nats.connect(url, max_reconnect_attempts=-1)
    jetstream = connection.jetstream()
    log_id = log_id or await only_log(jetstream)
    copy = Copy(Path(folder), log_id)
    keys = Keys(os.environ.get("ANAMNESIS_EVENT_KEYS"))
    while True:
        try:
            await follow(jetstream, log_id, copy, keys)
            print("the stream was made anew, or fell silent; proving the checkpoint again", file=sys.stderr)
        except nats.errors.Error as error:
            # NATS is away, or the stream is not there yet.
            print(f"NATS: {error}; trying again", file=sys.stderr)
            await asyncio.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("give the address of NATS and a folder")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except Stop as stop:
        sys.exit(f"error: {stop}")
    except KeyboardInterrupt:
        sys.exit(130)
