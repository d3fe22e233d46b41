//! Views that fail, wait or are of another version, made of those that there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use authority::Area;
use event_store::views::ViewSchema;
use events::envelope::Envelope;
use events::registry::AnyEvent;
use schemars::{Schema, SchemaGenerator};
use serde_json::value::RawValue;
use views::{Changes, Collection, DynTable, DynView, Scope, Touched, ViewFault};

/// The view of this name.
pub fn view(name: &str) -> &'static dyn DynView {
    *views::ALL.iter().find(|view| view.schema().name == name).expect("a view")
}

/// A list of views as long-lived as the program's own.
pub fn listed(views: &[&'static dyn DynView]) -> &'static [&'static dyn DynView] {
    Vec::leak(views.to_vec())
}

/// A view that can be made to fail or to wait. Kept for the rest of the process, as the program's own are.
pub struct Odd {
    inner: &'static dyn DynView,
    schema: ViewSchema,
    faulty: AtomicBool,
    held_up: Mutex<bool>,
    released: Condvar,
}

impl Odd {
    /// The view of this name, `raised` versions further.
    pub fn of(name: &str, raised: u32) -> &'static Self {
        let inner = view(name);
        let schema = ViewSchema { version: inner.schema().version + raised, ..*inner.schema() };
        let (faulty, held_up, released) = (AtomicBool::new(false), Mutex::new(false), Condvar::new());
        Box::leak(Box::new(Self { inner, schema, faulty, held_up, released }))
    }

    /// From now on it can, or cannot, be folded.
    pub fn set_faulty(&self, faulty: bool) {
        self.faulty.store(faulty, Ordering::SeqCst);
    }

    /// From now on folding waits, or goes on.
    pub fn hold_up(&self, held_up: bool) {
        *self.held_up.lock().expect("no panic") = held_up;
        self.released.notify_all();
    }
}

impl DynTable for Odd {
    fn schema(&self) -> &'static ViewSchema {
        Box::leak(Box::new(self.schema))
    }

    fn collection(&self) -> &'static Collection {
        self.inner.collection()
    }

    fn area(&self) -> Area {
        Area::Operation
    }

    fn scope(&self) -> Scope {
        self.inner.scope()
    }

    fn document_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        self.inner.document_schema(generator)
    }
}

impl DynView for Odd {
    fn touched(&self, events: &[(AnyEvent, Envelope)]) -> Touched {
        self.inner.touched(events)
    }

    fn fold(
        &self,
        events: &[(AnyEvent, Envelope)],
        touched: &Touched,
        loaded: HashMap<String, Box<RawValue>>,
    ) -> Result<Changes, ViewFault> {
        tokio::task::block_in_place(|| {
            let held_up = self.held_up.lock().expect("no panic");
            drop(self.released.wait_while(held_up, |held_up| *held_up).expect("no panic"));
        });
        if self.faulty.load(Ordering::SeqCst) && !events.is_empty() {
            let source = serde_json::from_str::<u8>("no number").expect_err("no number");
            return Err(ViewFault::Document {
                view: self.inner.schema().name,
                key: "key".to_owned(),
                source: source.into(),
            });
        }
        self.inner.fold(events, touched, loaded)
    }
}
