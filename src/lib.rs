//! merchant-copilot: a retrieval-augmented copilot server for merchants.
//!
//! The rooms in floor order; a file imports only rooms listed above its own (`tests/it/house.rs`
//! keeps that true). ARCHITECTURE.md is the map with the walk of one message.

// ground floor: no business words
pub mod error; // what went wrong, for people and programs
pub mod ids; // typed ids, Timestamp, Clock
pub mod config; // plain data from file, environment, flags
pub mod telemetry; // logs, every metric name, traces
pub mod disk; // files that processes of different users share
pub mod compute; // threads for what takes long, questions before imports
pub mod db; // SQLite or Postgres behind one door

// first floor: what a shop has
pub mod tenants; // who is asking: tenants, keys, roles, origins, rate limits
pub mod models; // words in, words out
pub mod prompts; // templates kept apart from code
pub mod ledger; // tokens and money per tenant, and the limit on them
pub mod events; // what happened, for the customer's own systems
pub mod knowledge; // what the shop knows: import, search, evaluation
pub mod memory; // conversations and turns
pub mod safety; // what may not come in, get stored, or go out
pub mod cache; // answers already given

// second floor: the conversation
pub mod chat; // the turn from question to answer
pub mod channels; // bots on chat platforms

// the roof: wiring and doors
pub mod app; // builds every room from the config
pub mod http; // routes, WebSocket, OpenAI-compatible API, pages
pub mod cli; // the command line
