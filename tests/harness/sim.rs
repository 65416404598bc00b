//! The simulated world: the real B2BUA and bridges, scripted phones on both sides, and a network that loses, delays,
//! repeats and reorders. Time is virtual, everything is decided by a seed, and a whole call takes milliseconds.

mod model;
mod net;
mod phone;
mod reference;
mod world;

pub use model::{Step, Steps, live};
pub use net::{Net, Pattern, Weather};
pub use phone::{Answering, End, Phone, PhoneCall, State};
pub use reference::live_by_reference;
pub use world::{CALLEE, CARRIER, Outcome, SECOND, World, trunk};
