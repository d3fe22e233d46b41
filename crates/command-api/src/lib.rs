//! The write side's REST interface.
