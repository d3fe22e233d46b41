// Keeps a copy of every event of a log, in the log's order, and goes on where it stopped.
//
//     npm ci && npx tsc
//     node subscriber.js nats://127.0.0.1:4222 <folder> [<log id>]
//
// README.md beside this file says what the folder holds, and what is proved of every message.

import * as crypto from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { connect, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { DeliverPolicy, jetstream, jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";

const streamPrefix = "ANAMNESIS_EVENTS_";
/** Events after which the checkpoint is saved, even if more are waiting. */
const unsavedMax = 256;
/** Quiet after which it is looked whether the stream is still the same one, and has no more. */
const quietMs = 5_000;

/** What a person has to look at. */
class Stop extends Error {}

/** How far the subscriber has come. */
interface Checkpoint {
  logId: string;
  epoch: number;
  position: number;
  eventId: string | null;
  /** Where the event stood in the stream: only to find it faster. */
  sequence: number;
  /** How long the copy was then: what was written behind it is cut off and comes again. */
  bytes: number;
}

/** An event, wherever it was heard. */
interface Event {
  position: number;
  id: string;
  type: string;
  stream: string;
  data: unknown;
  dataRef: string | null;
}

/** An event as the query API sends it. */
interface Stored {
  position: number;
  event_id: string;
  type: string;
  stream: { type: string; id: string };
  payload: unknown;
}

/** What a control message says. */
interface Begun {
  epochs: { epoch: number; afterPosition: number }[];
}

/** Why a message is not the relay's. */
class Forged extends Error {}

/** The relay's public keys, in a file as GET /v1/event-keys has them; without a file nothing is verified. */
class Keys {
  private known: Map<string, crypto.KeyObject>;

  constructor(private readonly file: string | undefined) {
    this.known = this.read();
  }

  private read(): Map<string, crypto.KeyObject> {
    if (!this.file) return new Map();
    const { keys }: { keys: crypto.JsonWebKey[] } = JSON.parse(fs.readFileSync(this.file, "utf8"));
    return new Map(keys.map((key) => [key["kid"] as string, crypto.createPublicKey({ key, format: "jwk" })]));
  }

  /** Proves that the relay signed a message, of which the headers are as they came. */
  verify(headers: MsgHdrs | undefined, data: Uint8Array): void {
    if (!this.file) return;
    const given = new Map<string, string>();
    for (const name of headers?.keys() ?? []) {
      const [attribute, values] = [name.toLowerCase(), headers!.values(name)];
      if (!attribute.startsWith("ce-")) continue;
      if (values.length !== 1 || given.has(attribute)) throw new Forged("a header is there twice");
      given.set(attribute, values[0]!);
    }
    const [id, signature] = [given.get("ce-keyid"), given.get("ce-signature")];
    if (id === undefined || signature === undefined) throw new Forged("it is not signed");
    // The relay may have another key since.
    if (!this.known.has(id)) this.known = this.read();
    const key = this.known.get(id);
    if (key === undefined) throw new Forged(`it is signed by a key that was not given (${id})`);
    given.delete("ce-signature");
    const sorted = [...given].sort(([one], [other]) => (one < other ? -1 : 1));
    const lines = sorted.map(([name, value]) => `${name}:${value}\n`);
    const text = Buffer.from(["anamnesis-event-signature-v1\n", ...lines].join(""));
    if (!crypto.verify(null, text, key, Buffer.from(signature, "base64url"))) {
      throw new Forged("its signature does not hold");
    }
    const digest = crypto.createHash("sha256").update(data).digest("base64url");
    if (given.has("ce-dataref") ? data.length > 0 : digest !== given.get("ce-datahash")) {
      throw new Forged("its payload is not the one that was signed");
    }
  }
}

/** The headers by their names in lower case, percent-decoded. */
function texts(headers: MsgHdrs | undefined): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of headers?.keys() ?? []) found.set(name.toLowerCase(), decodeURIComponent(headers!.get(name)));
  return found;
}

/** The copy of the log, and its checkpoint. */
class Copy {
  checkpoint: Checkpoint;
  unsaved = 0;
  private readonly file: string;
  private readonly events: number;

  constructor(private readonly folder: string, logId: string) {
    fs.mkdirSync(folder, { recursive: true });
    this.file = path.join(folder, "checkpoint.json");
    this.checkpoint = fs.existsSync(this.file)
      ? JSON.parse(fs.readFileSync(this.file, "utf8"))
      : { logId, epoch: 1, position: 0, eventId: null, sequence: 0, bytes: 0 };
    if (this.checkpoint.logId !== logId) {
      throw new Stop(`the checkpoint is of the log ${this.checkpoint.logId}, this is ${logId}`);
    }
    this.events = fs.openSync(path.join(folder, "events.jsonl"), "a");
    fs.ftruncateSync(this.events, this.checkpoint.bytes);
  }

  /** Takes a message, after proving that it is the next one. */
  async hear(headers: Map<string, string>, data: string, sequence: number): Promise<void> {
    const [epoch, position] = [Number(headers.get("ce-epoch")), Number(headers.get("ce-position"))];
    const [logId, id, type] = [headers.get("ce-logid"), headers.get("ce-id"), headers.get("ce-type")];
    if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(position) || !id || !type) {
      console.error(`message ${sequence} is no event of a log; passed over`);
      return;
    }
    if (logId !== this.checkpoint.logId) {
      console.error(`message ${sequence} is of another log; passed over`);
      return;
    }
    const stream = headers.get("ce-subject");
    if (stream === undefined) {
      this.turn(epoch, JSON.parse(data));
      return;
    }
    if (epoch < this.checkpoint.epoch) {
      console.error(`message ${sequence} is of the epoch ${epoch}, which has ended; passed over`);
      return;
    }
    if (epoch > this.checkpoint.epoch) throw new Stop(`epoch ${epoch} began and nobody said where: copy the log anew`);
    if (position > this.checkpoint.position + 1) await this.fillUpTo(position - 1);
    const dataRef = headers.get("ce-dataref") ?? null;
    const event = { position, id, type, stream, data: data === "" ? null : JSON.parse(data), dataRef };
    if (this.take(event)) this.checkpoint.sequence = sequence;
  }

  /** Writes down an event that is the next; tells whether it was. */
  private take(event: Event): boolean {
    const known = this.checkpoint;
    if (event.position === known.position && known.eventId !== null && known.eventId !== event.id) {
      throw new Stop(`the log has another event at position ${event.position}: stop and look`);
    }
    if (event.position <= known.position) return false; // It came again.
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    fs.writeSync(this.events, line);
    this.checkpoint = { ...known, position: event.position, eventId: event.id, bytes: known.bytes + line.length };
    this.unsaved += 1;
    return true;
  }

  /** Heeds a control message: where the log began a new epoch, what was taken after that never happened. */
  private turn(epoch: number, begun: Begun): void {
    if (epoch <= this.checkpoint.epoch) return;
    const later = begun.epochs.filter((began) => began.epoch > this.checkpoint.epoch);
    // Where nothing is known of the epoch, everything is taken again.
    const kept = later.length === 0 ? 0 : Math.min(...later.map((began) => began.afterPosition));
    if (kept < this.checkpoint.position) {
      console.error(`the log lost events: what came after position ${kept} is forgotten`);
      this.cut(kept);
    }
    this.checkpoint.epoch = epoch;
    this.save();
  }

  /** Cuts the copy off behind a position. */
  private cut(position: number): void {
    let [bytes, eventId]: [number, string | null] = [0, null];
    for (const line of fs.readFileSync(path.join(this.folder, "events.jsonl"), "utf8").split("\n")) {
      if (line === "") break;
      const event: Event = JSON.parse(line);
      if (event.position > position) break;
      [bytes, eventId] = [bytes + Buffer.byteLength(line) + 1, event.id];
    }
    fs.ftruncateSync(this.events, bytes);
    this.checkpoint = { ...this.checkpoint, position, eventId, bytes };
  }

  /** Saves what was written, then the checkpoint, whole or not at all whenever the process is ended. */
  save(): void {
    fs.fdatasyncSync(this.events);
    fs.writeFileSync(`${this.file}.part`, JSON.stringify(this.checkpoint));
    fs.renameSync(`${this.file}.part`, this.file);
    this.unsaved = 0;
  }

  /** Takes from the query API what the stream no longer has. */
  private async fillUpTo(position: number): Promise<void> {
    const { ANAMNESIS_URL: url, ANAMNESIS_TOKEN: token } = process.env;
    if (!url || !token) {
      const first = this.checkpoint.position + 1;
      throw new Stop(`the stream lacks positions ${first} to ${position}: set ANAMNESIS_URL and ANAMNESIS_TOKEN`);
    }
    console.error(`the stream has a gap up to position ${position}; filled by the query API`);
    // The event's id proves that the log still has it.
    const after = this.checkpoint.eventId ?? this.checkpoint.position;
    const ended = new AbortController();
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch(`${url}/v1/events?after=${after}`, { headers, signal: ended.signal });
    if (!answer.ok || answer.body === null) {
      throw new Stop(`the query API says ${answer.status}: ${await answer.text()}`);
    }
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const frames = (text + piece).split("\n\n");
      text = frames.pop() ?? "";
      for (const frame of frames) {
        const line = frame.split("\n").find((line) => line.startsWith("data: "));
        if (line === undefined) continue;
        const stored: Stored = JSON.parse(line.slice("data: ".length));
        const stream = `${stored.stream.type}/${stored.stream.id}`;
        const { position: at, event_id: id, type, payload: data } = stored;
        this.take({ position: at, id, type, stream, data, dataRef: null });
        if (this.checkpoint.position >= position) {
          ended.abort();
          return;
        }
      }
    }
    throw new Stop("the query API ended the stream; start again");
  }
}

/** The log that has the only stream on this NATS. */
async function onlyLog(manager: JetStreamManager): Promise<string> {
  const logs: string[] = [];
  for await (const name of manager.streams.names()) {
    if (name.startsWith(streamPrefix)) logs.push(name.slice(streamPrefix.length));
  }
  if (logs.length !== 1) throw new Stop(`${logs.length} logs have a stream here: give the log's id`);
  return logs[0]!;
}

/** Behind the checkpoint's event, if it is still where it was; otherwise from the stream's beginning. */
async function begin(manager: JetStreamManager, stream: string, checkpoint: Checkpoint) {
  const { sequence, eventId } = checkpoint;
  const there = sequence > 0 ? await manager.streams.getMessage(stream, { seq: sequence }).catch(() => null) : null;
  return there !== null && texts(there.header).get("ce-id") === eventId
    ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence + 1 }
    : { deliver_policy: DeliverPolicy.All, opt_start_seq: undefined };
}

/** Follows the stream until it is another one, or says nothing although it has more. */
async function follow(
  connection: NatsConnection,
  manager: JetStreamManager,
  logId: string,
  copy: Copy,
  keys: Keys,
): Promise<void> {
  const stream = `${streamPrefix}${logId}`;
  const { created } = await manager.streams.info(stream);
  const from = await begin(manager, stream, copy.checkpoint);
  let heard = (from.opt_start_seq ?? 1) - 1;
  // Control messages come in order between the events.
  const options = { filter_subjects: `anamnesis.${logId}.>`, ...from };
  const consumer = await jetstream(connection).consumers.get(stream, options);
  const messages = await consumer.consume();
  let heardAt = Date.now();
  // A stream that was deleted and filled anew has other sequences: a consumer of the old ones hears nothing.
  const watch = setInterval(async () => {
    if (Date.now() - heardAt < quietMs) return;
    const now = await manager.streams.info(stream).catch(() => null);
    if (now !== null && (now.created !== created || now.state.last_seq > heard)) messages.stop();
  }, quietMs);
  try {
    for await (const message of messages) {
      try {
        keys.verify(message.headers, message.data);
        await copy.hear(texts(message.headers), message.string(), message.seq);
      } catch (error) {
        if (!(error instanceof Forged)) throw error;
        // What the log has in its place comes, or is missed and filled up.
        console.error(`message ${message.seq} is not the relay's: ${error.message}; passed over`);
      }
      [heard, heardAt] = [message.seq, Date.now()];
      if (message.info.pending === 0 || copy.unsaved >= unsavedMax) copy.save();
    }
  } finally {
    clearInterval(watch);
  }
}

async function main(url: string, folder: string, given?: string): Promise<void> {
  const connection = await connect({ servers: url, maxReconnectAttempts: -1 });
  const manager = await jetstreamManager(connection);
  const logId = given ?? (await onlyLog(manager));
  const copy = new Copy(folder, logId);
  const keys = new Keys(process.env["ANAMNESIS_EVENT_KEYS"]);
  for (;;) {
    try {
      await follow(connection, manager, logId, copy, keys);
      console.error("the stream was made anew, or fell silent; proving the checkpoint again");
    } catch (error) {
      if (error instanceof Stop) throw error;
      // NATS is away, or the stream is not there yet.
      console.error(`NATS: ${error instanceof Error ? error.message : error}; trying again`);
      await new Promise((resume) => setTimeout(resume, 1000));
    }
  }
}

const [url, folder, logId] = process.argv.slice(2);
if (url === undefined || folder === undefined) {
  console.error("give the address of NATS and a folder");
  process.exit(1);
}
main(url, folder, logId).catch((error: unknown) => {
  console.error(error instanceof Stop ? `error: ${error.message}` : error);
  process.exit(1);
});
