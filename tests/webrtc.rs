//! Media between the binary and WebRTC stacks that are not ours: aiortc, whose user registers over secure WebSocket and
//! calls a carrier that echoes; and coturn, which takes the credentials that the API issues.

#[path = "webrtc/relay.rs"]
mod relay;
#[path = "webrtc/scene.rs"]
mod scene;
#[path = "acs/wire.rs"]
#[allow(dead_code, reason = "the tests of the REST plane use all of it")]
mod wire;

use scene::Scene;

const TONE_HZ: f64 = 1_000.0;

#[test]
fn a_tone_of_aiortc_comes_back_from_a_carrier_through_opus_and_g711() {
    let scene = Scene::open("[users.media]\ncodecs = [\"OPUS\"]\n");
    let heard = scene.calls_the_echo(TONE_HZ);
    assert_eq!(heard["codec"], "opus/48000/2", "{heard}\n{}", scene.log());
    assert_eq!(heard["state"], "connected");
    let number = |name: &str| heard[name].as_f64().expect("a number");
    assert!(number("share") > 0.95, "{heard}: part of what came back is not the tone");
    assert!(number("level_db").abs() < 1.0, "{heard}: it came back louder or softer");
    let metrics = scene.metrics_at_rest();
    assert!(metrics.contains("trunkline_browser_ice_failures_total{worker=\"0\"} 0\n"), "{metrics}");
    assert!(metrics.contains("trunkline_browser_dtls_failures_total{worker=\"0\"} 0\n"), "{metrics}");
}

#[test]
fn a_tone_of_aiortc_comes_back_in_g711_where_that_is_preferred() {
    let scene = Scene::open("[users.media]\ncodecs = [\"PCMU\"]\n");
    let heard = scene.calls_the_echo(TONE_HZ);
    assert_eq!(heard["codec"], "PCMU/8000", "{heard}\n{}", scene.log());
    assert!(heard["share"].as_f64().expect("a number") > 0.95, "{heard}");
}
