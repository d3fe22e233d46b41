//! Whether patients are eligible, asked by gRPC by other services.

use proto::v1::CheckEligibilityRequest;
use proto::v1::patient_service_client::PatientServiceClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::load::{Caller, closed_loop};
use crate::measure::{Goal, Row};
use crate::system::{Opened, System, open_with_patients};
use crate::{Bench, BenchError};

/// Who asks at once.
const CALLERS: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 8;
/// What is asked for.
const RATE_MIN: f64 = 5_000.0;
const P99_MILLIS_MAX: f64 = 10.0;

/// Figure 19.
pub async fn embedded(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let system = System::serve(bench, None).await?;
    let Opened { trial, patients, .. } = open_with_patients(&system).await?;
    let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| channel(&system)).collect::<Result<_, _>>()?;
    let bearer = MetadataValue::try_from(format!("Bearer {}", system.token)).map_err(said)?;
    let (mut rates, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        let callers = (0..CALLERS).map(|number| Asking {
            client: PatientServiceClient::new(channels[number % CONNECTIONS].clone()),
            bearer: bearer.clone(),
            trial: trial.to_string(),
            patients: patients.iter().map(ToString::to_string).collect(),
            next: number,
        });
        let (load, _) = closed_loop(callers.collect(), bench.warm_up(), bench.duration(), None).await?;
        rates.push((load.rate(), RATE_MIN));
        latencies.push((load.millis(0.99), P99_MILLIS_MAX));
    }
    system.stop().await?;
    let figure = format!("CheckEligibility by gRPC, {CALLERS} callers, embedded");
    Ok(vec![
        Row::new(19, figure.clone(), "/s", Goal::AtLeast(1.0), "5,000 /s", rates),
        Row::new(19, format!("{figure}, p99"), "ms", Goal::AtMost(1.0), "10 ms", latencies).so_far(2.4),
    ])
}

fn said(error: impl std::fmt::Display) -> BenchError {
    BenchError::Said(error.to_string())
}

fn channel(system: &System) -> Result<Channel, BenchError> {
    Ok(Endpoint::from_shared(format!("http://{}", system.address)).map_err(said)?.connect_lazy())
}

struct Asking {
    client: PatientServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
    trial: String,
    patients: Vec<String>,
    next: usize,
}

impl Caller for Asking {
    async fn call(&mut self) -> Result<(), BenchError> {
        let patient_id = self.patients[self.next % self.patients.len()].clone();
        self.next += 1;
        let asked = CheckEligibilityRequest { patient_id, trial_id: self.trial.clone(), ..Default::default() };
        let mut request = Request::new(asked);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        let answer = self.client.check_eligibility(request).await.map_err(said)?.into_inner();
        // Nothing is known of their age.
        if answer.missing_observations == ["AGE"] { Ok(()) } else { Err(BenchError::Said(format!("{answer:?}"))) }
    }
}
