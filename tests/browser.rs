//! A real browser: headless Chromium with JsSIP and with SIP.js, unmodified, on a bare page, with a voice from a file. It
//! calls and is called by a carrier, SIPp, and what one side says is looked for in what arrives at the other.

#[path = "browser/chromium.rs"]
mod chromium;
#[path = "users/place.rs"]
#[allow(dead_code, reason = "the tests of users use all of it")]
mod place;
#[path = "browser/sound.rs"]
mod sound;
#[path = "acs/wire.rs"]
#[allow(dead_code, reason = "the tests of the REST plane use all of it")]
mod wire;
