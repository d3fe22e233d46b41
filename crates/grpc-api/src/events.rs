//! `EventService`.

use std::collections::VecDeque;
use std::pin::Pin;

use axum::body::BodyDataStream;
use futures::{Stream, StreamExt as _, stream};
use proto::v1::event_service_server::EventService;
use proto::v1::subscribe_response::Message;
use proto::v1::{Heartbeat, SubscribeRequest, SubscribeResponse};
use service::deadline;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::call;
use crate::rest::{Address, Caller, Rest};
use crate::sse::{Frame, Frames};
use crate::status;

#[tonic::async_trait]
impl EventService for Rest {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = Caller::of(&request);
        let asked = request.into_inner();
        let address = Address::of("events")
            .with_any("after", &asked.after)
            .with_each("trial_id", &asked.trial_ids)
            .with_each("site_id", &asked.site_ids)
            .with_each("patient_id", &asked.patient_ids)
            .with_each("stream_id", &asked.stream_ids)
            .with_each("type", &asked.event_types);
        let body = self.follow(caller, &address).await?.into_body().into_data_stream();
        let following = Following {
            body,
            frames: Frames::default(),
            read: VecDeque::new(),
            deadline: deadline::end(),
            is_over: false,
        };
        let messages = stream::unfold(following, |mut following| async move {
            let next = following.next().await?;
            following.is_over = next.is_err();
            Some((next, following))
        });
        Ok(Response::new(messages.boxed()))
    }
}

/// Follows the event stream.
struct Following {
    body: BodyDataStream,
    frames: Frames,
    read: VecDeque<Frame>,
    deadline: Option<Instant>,
    is_over: bool,
}

impl Following {
    /// The next message; why there is none, once.
    async fn next(&mut self) -> Option<Result<SubscribeResponse, Status>> {
        if self.is_over {
            return None;
        }
        loop {
            if let Some(frame) = self.read.pop_front() {
                return Some(message(frame));
            }
            match call::within(self.deadline, self.body.next()).await {
                Ok(Some(Ok(piece))) => self.read.extend(self.frames.take(&piece)),
                Ok(Some(Err(_)) | None) => return Some(Err(status::ended())),
                Err(late) => return Some(Err(late)),
            }
        }
    }
}

fn message(frame: Frame) -> Result<SubscribeResponse, Status> {
    let message = match frame.data {
        Some(data) => Message::Event(serde_json::from_str(&data).map_err(|error| status::misfit(&error))?),
        None => Message::Heartbeat(Heartbeat { resume_after: frame.id.unwrap_or_default() }),
    };
    Ok(SubscribeResponse { message: Some(message) })
}
