//! Examples that end the help of each command. A test reads each of them as the program would.

pub const ALL: &str = "Examples:
  anamnesis
  anamnesis serve --listen localhost:18080 --data-dir /var/lib/anamnesis
  anamnesis simulate --subjects 200 --sites 5 --seed 1
  anamnesis help token

Ends with 0 where all was done, 1 where something was found amiss (check-history, check-readings), 2 where it could not be done: \
standard error says why; 130 where it was interrupted.";
pub const SERVE: &str = "Examples:
  anamnesis serve
  anamnesis serve --listen localhost:18080 --data-dir /var/lib/anamnesis --metrics-listen localhost:9464
  anamnesis serve --config /etc/anamnesis.toml
  anamnesis serve --database-url postgres://anamnesis@db/anamnesis --nats-url nats://bus:4222";
pub const COMMAND_API: &str = "Example:
  anamnesis command-api --database-url postgres://anamnesis@db/anamnesis --listen 0.0.0.0:8080";
pub const QUERY_API: &str = "Example:
  anamnesis query-api --database-url postgres://anamnesis@db/anamnesis --listen 0.0.0.0:8080";
pub const PROJECTOR: &str = "Example:
  anamnesis projector --database-url postgres://anamnesis@db/anamnesis --nats-url nats://bus:4222";
pub const SAGA: &str = "Example:
  anamnesis saga --database-url postgres://anamnesis@db/anamnesis --nats-url nats://bus:4222";
pub const RELAY: &str = "Example:
  anamnesis relay --database-url postgres://anamnesis@db/anamnesis --nats-url nats://bus:4222";
pub const OUTBOUND: &str = "Example:
  anamnesis outbound --database-url postgres://anamnesis@db/anamnesis --sms-url https://sms.example.org/messages --sms-token-file /etc/anamnesis/sms.token";
pub const GATEWAY: &str = "Examples:
  anamnesis gateway
  anamnesis gateway --listen localhost:18090 --fail 0.2 --hang 0.02 --seed 1";
pub const READY: &str = "Example:
  anamnesis ready --url http://localhost:8080";
pub const MIGRATE: &str = "Example:
  anamnesis migrate --database-url postgres://anamnesis@db/anamnesis";
pub const REBUILD: &str = "Examples:
  anamnesis rebuild trial_enrolment
  anamnesis rebuild all --json";
pub const REPUBLISH: &str = "Example:
  anamnesis republish --database-url postgres://anamnesis@db/anamnesis --nats-url nats://bus:4222";
pub const BACKUP: &str = "Example:
  anamnesis backup /backups/2026-11-26 --data-dir /var/lib/anamnesis";
pub const RECOVER: &str = "Examples:
  anamnesis recover --data-dir /var/lib/anamnesis
  anamnesis recover --data-dir /var/lib/anamnesis --yes";
pub const REPLAY: &str = "Examples:
  anamnesis replay patient 0190b8a4-5f6e-7c3d-9a1b-2c3d4e5f6071
  anamnesis replay patient 0190b8a4-5f6e-7c3d-9a1b-2c3d4e5f6071 --as-of 2026-03-09T12:00:00Z --format csv";
pub const ADMINISTRATOR: &str = "Examples:
  anamnesis administrator admin --database-url postgres://anamnesis@db/anamnesis
  anamnesis administrator admin --issuer https://id.example.org --subject 8f2c";
pub const ACCOUNT: &str = "Examples:
  anamnesis account audit-1 --role auditor
  anamnesis account nurse-701-2 --role coordinator --trial 0190b8a4-5f6e-7c3d-9a1b-2c3d4e5f6071 \
    --site 0190b8a4-5f6e-7c3d-9a1b-2c3d4e5f6072
  anamnesis account p-17 --role participant --patient 0190b8a4-5f6e-7c3d-9a1b-2c3d4e5f6073";
pub const TOKEN: &str = "Examples:
  anamnesis token --account inv-701 --ttl 8h
  anamnesis token --account audit-1 --data-dir /var/lib/anamnesis --json";
pub const KEY: &str = "Examples:
  anamnesis key create /etc/anamnesis/master.key
  anamnesis key rotate --master-key-file /etc/anamnesis/master.key
  anamnesis key rewrap --database-url postgres://anamnesis@db/anamnesis --master-key-file /etc/anamnesis/master.key";
pub const KEY_CREATE: &str = "Example:
  anamnesis key create /etc/anamnesis/master.key";
pub const KEY_CREATE_EVENT_KEY: &str = "Example:
  anamnesis key create-event-key /etc/anamnesis/event-signing.pem > event-keys.json";
pub const KEY_PUBLIC_EVENT_KEYS: &str = "Example:
  anamnesis key public-event-keys new.pem event-signing.pem > event-keys.json";
pub const KEY_BACKUP: &str = "Example:
  anamnesis key backup /elsewhere/2026-11-27-keys.db --data-dir /var/lib/anamnesis";
pub const KEY_ROTATE: &str = "Examples:
  anamnesis key rotate --data-dir /var/lib/anamnesis
  anamnesis key rotate --master-key-file /etc/anamnesis/master.key";
pub const KEY_REWRAP: &str = "Examples:
  anamnesis key rewrap --data-dir /var/lib/anamnesis
  anamnesis key rewrap --database-url postgres://anamnesis@db/anamnesis --transit-address https://bao:8200 \
    --transit-key patients --transit-token-file /run/anamnesis/token --former-master-key-file /etc/anamnesis/master.key";
pub const IMPORT: &str = "Example:
  anamnesis import sdtm ./study --report rejected.csv";
pub const SIMULATE: &str = "Examples:
  anamnesis simulate --subjects 200 --sites 5 --seed 1
  anamnesis simulate --subjects 20 --url http://127.0.0.1:18080 --json";
pub const CHECK_HISTORY: &str = "Example:
  anamnesis check-history clients.ndjson consumers.ndjson";
pub const CHECK_READINGS: &str = "Examples:
  anamnesis check-readings --data-dir /var/lib/anamnesis
  anamnesis check-readings --database-url postgres://anamnesis@db/anamnesis --json";
pub const COMPLETIONS: &str = "Examples:
  anamnesis completions bash
  anamnesis completions zsh
  anamnesis completions fish";
pub const MAN: &str = "Example:
  anamnesis man /usr/local/share/man/man1";
pub const METRICS: &str = "Example:
  anamnesis metrics";
pub const SETTINGS: &str = "Example:
  anamnesis settings";
