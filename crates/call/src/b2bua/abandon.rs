//! What is left to do for a call that a bug has broken.

use super::B2bua;
use std::time::Instant;

impl B2bua {
    /// Ends the call that was being handled when something here panicked, so that its peers are told, and its ports and
    /// its places on the trunks are free again. Says whether there was one.
    ///
    /// The other calls have nothing in common with it that a panic could leave half done.
    pub fn abandon_current(&mut self, now: Instant) -> bool {
        let Some(serial) = self.current.take() else { return false };
        self.with_call(serial, |call, core| call.abandon(core, now));
        self.drain(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::b2bua::{Config, Input, MediaInterface, Output, UnknownSources};
    use crate::event::{BridgeEvent, BridgeStats, CallEvent, Counts};
    use crate::limit::Limits;
    use crate::route::RoutingTable;
    use crate::testing::trunk;
    use std::net::IpAddr;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use trunkline_model::clock::first_instant;
    use trunkline_model::{Gateway, Host, NodeId, PatternRoute, Transport, TrunkId};
    use trunkline_sip::transport::{Advertised, Flow, Listener};
    use trunkline_sip::user_agent;

    const HERE: &str = "203.0.113.1:5060";
    const CALLER: &str = "192.0.2.10:5060";

    fn b2bua(now: Instant) -> B2bua {
        let local = HERE.parse().unwrap();
        let there: IpAddr = "198.51.100.1".parse().unwrap();
        let gateway =
            Gateway { host: Host::Ip(there), port: None, transport: Transport::Udp, priority: 1, weight: 1 };
        let trunks = vec![trunk("in", &["192.0.2.10/32"], vec![]), trunk("out", &[], vec![gateway])];
        let out = TrunkId::parse("out").unwrap();
        let route = PatternRoute {
            prefix: "+1".into(),
            from: vec![],
            trunks: vec![out],
            strip: 0,
            prepend: String::new(),
        };
        let config = Config {
            node: NodeId(0),
            shard: 0,
            user_agent: user_agent::Config {
                listeners: vec![Listener {
                    transport: Transport::Udp,
                    local,
                    advertised: Advertised::of(local),
                }],
                ..user_agent::Config::default()
            },
            media: vec![MediaInterface { bind: local.ip(), advertised: local.ip() }],
            ports: 20_000..=20_009,
            limits: Limits::default(),
            unknown_sources: UnknownSources::Forbid,
            anchor: (now, 0),
        };
        let table = RoutingTable::new(trunks, vec![], vec![route]).unwrap();
        B2bua::new(config, Arc::new(table), 1, now).unwrap()
    }

    fn dial(b2bua: &mut B2bua, now: Instant) {
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let invite = format!(
            "INVITE sip:+14255550100@203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK1\r\n\
             From: <sip:+14255550199@192.0.2.10>;tag=1\r\nTo: <sip:+14255550100@203.0.113.1>\r\nCall-ID: 1\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:{CALLER}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        let (local, remote) = (HERE.parse().unwrap(), CALLER.parse().unwrap());
        let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
        b2bua.handle_input(now, Input::Sip(user_agent::Input::Received { flow, bytes: invite.into() }));
    }

    #[test]
    fn a_call_that_panics_is_ended_and_gives_back_all_it_had() {
        let now = first_instant();
        let mut b2bua = b2bua(now);
        dial(&mut b2bua, now);
        let serial = *b2bua.calls.keys().next().expect("the call was not let in");
        while b2bua.poll_output().is_some() {}

        let panicked =
            catch_unwind(AssertUnwindSafe(|| b2bua.with_call(serial, |_, _| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert!(b2bua.abandon_current(now));

        let mut told = Vec::new();
        let mut closed = None;
        let mut recorded = None;
        while let Some(output) = b2bua.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    told.push(String::from_utf8_lossy(&transmit.bytes).lines().next().unwrap().to_owned());
                }
                Output::CloseBridge { bridge } => closed = Some(bridge),
                _ => {}
            }
        }
        assert_eq!(
            told,
            ["SIP/2.0 500 Server Internal Error"],
            "CANCEL waits for the callee's first response"
        );
        let event = BridgeEvent::Closed(BridgeStats::default());
        b2bua.handle_input(now, Input::Bridge { bridge: closed.expect("the bridge stays open"), event });
        while let Some(output) = b2bua.poll_output() {
            if let Output::Event(CallEvent::Ended { record }) = output {
                recorded = Some(record.cause.detail);
            }
        }
        assert_eq!(recorded.as_deref(), Some("an error in this program"));
        let Counts { calls, legs: _, bridges, ports } = b2bua.counts();
        assert_eq!((calls, bridges, ports), (0, 0, 0));
        assert!(b2bua.trunk_load().iter().all(|load| load.calls == 0));
        assert!(!b2bua.abandon_current(now), "there is no other to blame");
    }
}
