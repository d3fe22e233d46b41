//! Hearing the server's warnings.
//!
//! Where the wait for a synchronous standby is cancelled, PostgreSQL calls the
//! commit done and says the rest in a warning. The driver offers warnings to
//! tracing only, so this listens there, for as long as a batch is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::instrument::WithSubscriber as _;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Where the driver puts what the server says.
const TARGET: &str = "sqlx::postgres::notice";

/// Hears warnings; everything goes on to the process's own subscriber.
#[derive(Clone)]
pub struct Notices {
    dispatch: Dispatch,
    warned: Arc<AtomicBool>,
}

impl Notices {
    pub fn listen() -> Self {
        let warned = Arc::new(AtomicBool::new(false));
        let inner = tracing::dispatcher::get_default(Dispatch::clone);
        let level = LevelFilter::current().max(LevelFilter::WARN);
        let dispatch = Dispatch::new(Listener { inner, level, warned: warned.clone() });
        Self { dispatch, warned }
    }

    /// The future's result, and whether the server warned meanwhile.
    pub async fn during<T>(&self, future: impl Future<Output = T>) -> (T, bool) {
        self.warned.store(false, Ordering::Relaxed);
        let result = future.with_subscriber(self.dispatch.clone()).await;
        (result, self.warned.load(Ordering::Relaxed))
    }
}

struct Listener {
    inner: Dispatch,
    level: LevelFilter,
    warned: Arc<AtomicBool>,
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET && *metadata.level() <= Level::WARN
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_warning(metadata) { Interest::always() } else { self.inner.register_callsite(metadata) }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || self.inner.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.inner.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.inner.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.inner.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        if is_warning(event.metadata()) {
            self.warned.store(true, Ordering::Relaxed);
        }
        if self.inner.enabled(event.metadata()) {
            self.inner.event(event);
        }
    }

    fn enter(&self, span: &Id) {
        self.inner.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.inner.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.inner.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.inner.try_close(id)
    }
}
