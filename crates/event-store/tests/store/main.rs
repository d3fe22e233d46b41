//! The storage against real engines.

mod apart;
mod bad_days;
mod declared;
mod executor;
mod history;
mod immutable;
mod installation;
mod keyring;
mod keys;
mod log_contract;
mod opening;
mod plan;
mod pooler;
mod readings;
mod roles;
mod sagas;
mod sealing;
mod several;
mod storage;
