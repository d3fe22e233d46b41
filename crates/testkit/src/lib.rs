//! Test support: given/when/then, contract suites, history checker, throw-away servers, faults.
