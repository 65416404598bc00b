//! The simulated world: the real B2BUA and bridges, scripted phones on both sides, and a network that loses, delays,
//! repeats and reorders. Time is virtual, everything is decided by a seed, and a whole call takes milliseconds.

mod model;
mod net;
mod phone;
mod world;

pub use model::{Step, Steps, live};
pub use net::{Net, Pattern, Weather};
pub use phone::{Answering, End, Phone, PhoneCall, State};
pub use world::{CALLEE, CARRIER, Outcome, World, trunk};
