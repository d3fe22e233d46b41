//! The relay and the feeds on real nats-servers.

mod cluster;
mod connecting;
mod feeds;
mod health;
mod large;
mod losing;
mod relay;
mod republishing;
mod settings;
mod signing;
mod support;
