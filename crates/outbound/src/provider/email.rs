//! E-mail by SMTP. A mail server knows no message again, so that each is recorded before it is handed over.

use std::time::Duration;

use async_trait::async_trait;
use calls::{Breaker, Breaking};
use domain::messaging::delivery::Outgoing;
use events::messaging::message::SendingFault;
use events::values::Personal;
use futures::FutureExt as _;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Handed, Provider, SetupError};

/// How long a mail server may take to take a message.
const WITHIN: Duration = Duration::from_secs(10);

/// What became of handing it to the server.
type Tried = Result<(), Option<smtp::Error>>;

/// A mail server.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    breaker: Breaker<(), Option<smtp::Error>>,
}

/// Whether it tells that the server does not do: whom it refuses it answers.
fn is_failure(tried: &Tried) -> bool {
    match tried {
        Ok(()) => false,
        Err(None) => true,
        Err(Some(error)) => !error.is_permanent(),
    }
}

impl Mail {
    /// The server at `smtps://user:password@host:port`, or `smtp://…?tls=required`; letters come from `from`.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(url: &str, from: &str) -> Result<Self, SetupError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(SetupError::Smtp)?;
        let from = from.parse().map_err(SetupError::From)?;
        let breaker = Breaker::new("email", "the mail server".to_owned(), Breaking::default(), is_failure);
        Ok(Self { transport: transport.timeout(Some(WITHIN)).build(), from, breaker })
    }

    fn letter(&self, outgoing: &Outgoing) -> Option<Message> {
        let to = outgoing.address.as_ref().and_then(Personal::expose)?.parse().ok()?;
        let domain = self.from.email.domain();
        let letter = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            // By which mailboxes that are handed it twice show it once.
            .message_id(Some(format!("<{}@{domain}>", outgoing.message_id)))
            .subject(&outgoing.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(outgoing.text.clone());
        letter.ok()
    }
}

#[async_trait]
impl Provider for Mail {
    fn knows_again(&self) -> bool {
        false
    }

    fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    async fn hand_over(&self, outgoing: &Outgoing) -> Handed {
        let not_taken = |fault, status, may_have_arrived| Handed::NotTaken { fault, status, may_have_arrived };
        let Some(letter) = self.letter(outgoing) else { return not_taken(SendingFault::Rejected, None, false) };
        let transport = self.transport.clone();
        let tried = async move {
            let sent = tokio::time::timeout(WITHIN * 2, transport.send(letter)).await;
            sent.map_err(|_| None)?.map(drop).map_err(Some)
        };
        match self.breaker.run(tried.boxed()).await {
            None => Handed::LeftAlone,
            Some(Ok(())) => Handed::Taken { provider_message_id: None },
            Some(Err(None)) => not_taken(SendingFault::Unanswered, None, true),
            Some(Err(Some(error))) => {
                let (fault, may_have_arrived) = judged(&error);
                not_taken(fault, error.status().map(u16::from), may_have_arrived)
            }
        }
    }
}

/// Why a letter was not taken, and whether it may have been all the same.
fn judged(error: &smtp::Error) -> (SendingFault, bool) {
    if error.is_permanent() {
        return (SendingFault::Rejected, false);
    }
    if error.is_transient() {
        return (SendingFault::Unavailable, false);
    }
    // Before the letter: no connection, no TLS, no common tongue.
    if error.is_tls() || error.is_client() || is_connect(error) {
        return (SendingFault::Unreachable, false);
    }
    (SendingFault::Unanswered, true)
}

/// Whether no connection came about, so that nothing can have been sent.
fn is_connect(error: &smtp::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound};
        matches!(source.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound)
    })
}
