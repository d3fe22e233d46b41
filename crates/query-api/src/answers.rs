//! The types of the answers that are not a view's documents, for the interface's description.

pub use crate::entry::{Entry, TimelineEntry};
pub use crate::identity::PatientIdentity;
pub use crate::lists::Page;
pub use crate::patient_state::PatientState;
pub use crate::readings::{ReadingBuckets, ReadingsPage};
pub use crate::reports::ViewStatus;
pub use crate::search::FoundPatient;
pub use crate::unblinding::SubjectAllocation;
