//! Hostile HTTP: what could be read in two ways, floods, and callers who take for ever. A clear
//! refusal, a closed connection, nothing forwarded, memory bounded.

mod bodies;
mod floods;
mod heads;
mod kept;
mod large;
mod lengths;
mod paths;
mod slow;
mod streams;
mod table;
mod wire;
