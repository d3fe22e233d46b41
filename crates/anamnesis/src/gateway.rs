//! A stand-in for message gateways while one develops: it takes text messages, apps' messages and webhooks, knows those again that
//! it has taken, shows each, and fails as it is told to.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use service::listen;

use crate::output;

/// How the stand-in behaves.
#[derive(Clone, Debug, Args)]
pub struct GatewayArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8090", value_parser = listen::address, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Share of requests that are answered 503, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    fail: f64,
    /// Share of requests that are taken and never answered.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    hang: f64,
    /// Share of requests that are taken and answered 500 all the same.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    lie: f64,
    /// Milliseconds that an answer takes.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000), value_name = "MS")]
    delay_ms: u64,
    /// What chance begins with: the same seed fails the same requests, in the order in which they come.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Shows no message.
    #[arg(long)]
    quiet: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".to_owned()) }
}

/// A message that was taken.
#[derive(Clone, Debug, Serialize)]
struct Taken {
    channel: String,
    /// How often it was handed over, and taken the first time.
    times: u32,
    message: Value,
}

struct Gateway {
    args: GatewayArgs,
    taken: Mutex<BTreeMap<String, Taken>>,
    chance: Mutex<u64>,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    /// A number from 0 to 1: what follows in the sequence of splitmix64 (Steele, Lea, Flood 2014).
    fn chance(&self) -> f64 {
        let mut state = locked(&self.chance);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }

    fn count(&self, outcome: &'static str) {
        *locked(&self.requests).entry(outcome).or_default() += 1;
    }

    /// Takes a message, or knows it again.
    fn take(&self, channel: &str, key: &str, message: Value) {
        let mut taken = locked(&self.taken);
        let known = taken.entry(key.to_owned()).or_insert_with(|| {
            if !self.args.quiet {
                output::line(&format!("{channel} {message}"));
            }
            Taken { channel: channel.to_owned(), times: 0, message }
        });
        known.times += 1;
    }
}

/// Serves until it is interrupted.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn run(args: GatewayArgs) -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    output::line(&format!(
        "Stands in for message gateways at http://{address}: /sms, /push, /webhook; what was taken is at /messages; drug labels at /drug/label.json.\n\
         Use it:  anamnesis serve --sms-url http://{address}/sms --push-url http://{address}/push"
    ));
    let chance = Mutex::new(args.seed);
    let gateway = Arc::new(Gateway { args, taken: Mutex::default(), chance, requests: Mutex::default() });
    let router = Router::new()
        .route("/{channel}", post(receive))
        .route("/messages", get(messages))
        .route("/drug/label.json", get(drug))
        .with_state(gateway);
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served?,
        () = interrupted => {}
    }
    Ok(())
}

async fn receive(
    State(gateway): State<Arc<Gateway>>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(key) = header("idempotency-key").or_else(|| header("webhook-id")).map(str::to_owned) else {
        gateway.count("malformed");
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "no Idempotency-Key or webhook-id"})));
    };
    tokio::time::sleep(Duration::from_millis(gateway.args.delay_ms)).await;
    let (chance, args) = (gateway.chance(), &gateway.args);
    if chance < args.fail {
        gateway.count("failed");
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "as it was told to"})));
    }
    gateway.take(&channel, &key, message);
    if chance < args.fail + args.hang {
        gateway.count("hung");
        std::future::pending::<()>().await;
    }
    if chance < args.fail + args.hang + args.lie {
        gateway.count("lied");
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "taken all the same"})));
    }
    gateway.count("taken");
    (StatusCode::ACCEPTED, Json(json!({"id": format!("gw-{key}")})))
}

/// Two labels in the form of openFDA's, with texts of our own.
async fn drug(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    tokio::time::sleep(Duration::from_millis(gateway.args.delay_ms)).await;
    let chance = gateway.chance();
    if chance < gateway.args.fail {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "as it was told to"})));
    }
    if chance < gateway.args.fail + gateway.args.hang {
        std::future::pending::<()>().await;
    }
    let label = |generic: &str, brand: &str, use_for: &str, reaction: &str| {
        json!({"effective_time": "20260101", "indications_and_usage": [use_for], "adverse_reactions": [reaction],
            "warnings": ["Keep out of reach of children."], "openfda": {"generic_name": [generic], "brand_name": [brand]}})
    };
    let search = asked.get("search").map(String::as_str).unwrap_or_default().to_lowercase();
    let known = [
        label("EXAMPLOL", "Examplax", "Mild pain in examples.", "Drowsiness."),
        label("SAMPLICILLIN", "Samplix", "Infections in examples.", "Rash."),
    ];
    let is_meant = |label: &&Value| search.contains(&label["openfda"]["generic_name"][0].to_string().to_lowercase());
    match known.iter().find(is_meant) {
        Some(found) => (StatusCode::OK, Json(json!({"results": [found]}))),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": {"code": "NOT_FOUND"}}))),
    }
}

async fn messages(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let (taken, requests) = (locked(&gateway.taken).clone(), locked(&gateway.requests).clone());
    Json(json!({"count": taken.len(), "requests": requests, "messages": taken}))
}
