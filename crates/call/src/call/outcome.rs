//! What a callee's final answer means: another gateway, or this status for the caller.

use super::reason::Reason;
use trunkline_model::{Q850, Trunk};

/// Statuses by which the called person or the caller has spoken: never another attempt (R10).
const FINAL: [u16; 4] = [486, 487, 600, 603];

/// Whether the next gateway is tried after this status.
///
/// 408, 500, 503 and 504 speak of the server and not of the called person; a trunk may name more. Silence
/// counts as 408 and a broken transport as 503 (RFC 3261 §8.1.3.1).
pub(crate) fn moves_on(status: u16, trunk: &Trunk) -> bool {
    !FINAL.contains(&status)
        && (matches!(status, 408 | 500 | 503 | 504) || trunk.failover_statuses.contains(&status))
}

/// Returns the status that the caller gets for the callee's final status.
///
/// Most pass. What a callee says about the request that *we* wrote, or to us as its client, would mean
/// something else to a caller whose request is another one:
///
/// | callee | caller | because |
/// |---|---|---|
/// | 3xx | 480 | we do not follow redirects of a carrier: it would let the callee choose whom the caller pays for |
/// | 401, 407 | 403 | the challenge is for us; answering it would leak a digest (RFC 3261 §22.3 is for proxies) |
/// | 405, 406, 413–417, 420–424, 481, 489, 491, 493, 494, 469, 580 | 500 | about our request or our dialog |
/// | 487 | 480 | we did not cancel |
/// | 503 | 500 | 503 would take this whole server out of the caller's use (RFC 3261 §16.7 item 6) |
/// | 505 | 500 | about our request |
pub(crate) fn for_caller(status: u16) -> u16 {
    match status {
        300..=399 | 487 => 480,
        401 | 407 => 403,
        405 | 406 | 411..=417 | 420..=424 | 469 | 481 | 489 | 491 | 493 | 494 => 500,
        503 | 505 | 580 => 500,
        400..=699 => status,
        // Not a final status; the user agent gives none of these.
        _ => 500,
    }
}

/// Returns the Reason that goes to the caller with it: the callee's own Q.850 cause or the one that its status
/// stands for, and that status itself where the caller gets another.
pub(crate) fn reason_for_caller(status: u16, said: Reason) -> Reason {
    let q850 = said.q850.unwrap_or(Q850::from_sip(status));
    Reason { q850: Some(q850), sip: (for_caller(status) != status).then_some(status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trunk;

    #[test]
    fn only_faults_of_the_server_and_configured_statuses_move_on() {
        let mut out = trunk("a", &[], vec![]);
        let moving = |out: &Trunk| (300..700).filter(|status| moves_on(*status, out)).collect::<Vec<_>>();
        assert_eq!(moving(&out), [408, 500, 503, 504]);

        out.failover_statuses = [404, 486, 487, 502, 600, 603].into();
        assert_eq!(moving(&out), [404, 408, 500, 502, 503, 504], "a person's no stays a no");
    }

    #[test]
    fn a_caller_never_sees_a_challenge_a_redirect_or_somebody_elses_503() {
        for status in 300..700 {
            let shown = for_caller(status);
            assert!((400..700).contains(&shown), "{status} became {shown}");
            assert!(!matches!(shown, 401 | 407 | 487 | 503 | 420 | 422 | 491), "{status} became {shown}");
        }
        for same in [403, 404, 408, 410, 480, 484, 486, 488, 500, 501, 502, 504, 600, 603, 604, 606, 608] {
            assert_eq!(for_caller(same), same);
        }
    }

    #[test]
    fn a_changed_status_is_named_in_the_reason() {
        let plain = reason_for_caller(486, Reason::default());
        assert_eq!(plain.value().as_deref(), Some("Q.850;cause=17"));
        let changed = reason_for_caller(503, Reason::q850(Q850(42)));
        assert_eq!(changed.value().as_deref(), Some("SIP;cause=503, Q.850;cause=42"));
    }
}
