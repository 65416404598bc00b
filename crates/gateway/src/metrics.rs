//! What the gateway counts, and how it is shown to Prometheus (text format 0.0.4).

mod http;
mod server;
mod sms;
mod webhooks;

pub use http::HttpMetrics;
pub use server::serve;
pub use sms::SmsMetrics;
pub use webhooks::WebhookMetrics;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trunkline_call::TrunkLoad;
use trunkline_model::{CallRecord, TrunkId};
use trunkline_webrtc::Dropped;

/// Everything that is counted. Shared by the tasks; counting takes no lock except where a label is free text of
/// the configuration.
#[derive(Debug, Default)]
pub struct Metrics {
    /// SIP messages received, by kind.
    pub sip_received: [Counter; MessageKind::ALL.len()],
    /// SIP messages sent, by kind.
    pub sip_sent: [Counter; MessageKind::ALL.len()],
    /// Messages that were malformed.
    pub sip_malformed: Counter,
    /// Messages that belong to nothing here.
    pub sip_stray: Counter,
    /// Requests refused because a table was full.
    pub sip_overloaded: Counter,
    /// Requests of unknown sources answered 403.
    pub strangers_turned_away: Counter,
    /// Requests of unknown sources dropped without an answer.
    pub calls_from_strangers_ignored: Counter,
    /// Refused calls of unknown sources that left neither an event nor a record.
    pub calls_unreported: Counter,
    /// Streams that could not be cut into messages.
    pub stream_framing_errors: Counter,
    /// Datagrams that the system did not take.
    pub sip_send_failures: Counter,
    /// Messages for a connection whose write queue was full.
    pub stream_queue_drops: Counter,
    /// Connections that are open.
    pub stream_connections: Gauge,
    /// Connections refused or closed by a limit.
    pub stream_refusals: Counter,
    /// From reading an INVITE to sending its 100.
    pub invite_to_trying: Histogram,
    /// Calls in progress.
    pub calls_active: Gauge,
    /// Calls that began, refused ones included.
    pub calls_started: Counter,
    /// Calls that were answered.
    pub calls_answered: Counter,
    /// Transactions that the user agent keeps.
    pub transactions: Gauge,
    /// RTP ports in use.
    pub rtp_ports_in_use: Gauge,
    /// RTP ports that there are.
    pub rtp_ports: Gauge,
    /// Call records that wait for storage.
    pub journal_waiting: Gauge,
    /// Call records stored.
    pub journal_stored: Counter,
    /// Call records written to the spill file because storage did not take them.
    pub journal_spilled: Counter,
    /// Call records that could be kept nowhere.
    pub journal_lost: Counter,
    /// The REST API.
    pub http: HttpMetrics,
    /// Texts.
    pub sms: SmsMetrics,
    /// Events on their way to subscribers.
    pub webhooks: WebhookMetrics,
    /// Panics that were caught in signalling; each is a bug.
    pub panics: Counter,
    /// Whether new calls are refused because the process is about to end.
    pub draining: AtomicBool,
    ended: Mutex<BTreeMap<Ended, u64>>,
    trunks: Mutex<Vec<TrunkLoad>>,
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
    heartbeat: Mutex<Option<Instant>>,
}

/// What one media worker counts. It is the only one that writes here.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    /// Bridges open.
    pub bridges: Gauge,
    /// RTP and RTCP packets received.
    pub packets_received: Counter,
    /// Their bytes.
    pub bytes_received: Counter,
    /// RTP and RTCP packets sent.
    pub packets_sent: Counter,
    /// Their bytes.
    pub bytes_sent: Counter,
    /// Packets that the system did not take.
    pub send_failures: Counter,
    /// RTP packets that never came, of legs that have ended.
    pub packets_lost: Counter,
    /// RTP packets refused for their source, of legs that have ended.
    pub packets_refused: Counter,
    /// Bridges whose ports could not be bound.
    pub bind_failures: Counter,
    /// Browsers that have a leg.
    pub browsers: Gauge,
    /// Browsers whose connectivity checks never came.
    pub browser_ice_failures: Counter,
    /// Browsers whose DTLS handshake failed.
    pub browser_dtls_failures: Counter,
    /// Browsers that went silent.
    pub browsers_lost: Counter,
    /// Browsers refused by a limit.
    pub browser_refusals: Counter,
    /// Datagrams on the socket for browsers that were dropped, by reason.
    pub browser_drops: [Counter; Dropped::ALL.len()],
    /// The greatest complexity of Opus that the worker allows itself.
    pub opus_complexity_max: Gauge,
    /// Panics that were caught; each is a bug.
    pub panics: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ended {
    trunk_in: Option<TrunkId>,
    trunk_out: Option<TrunkId>,
    class: &'static str,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// Durations, sorted into buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// Upper ends of the buckets: the goal is 20 ms at the 99th percentile, so the steps are finest around there.
const BUCKETS_US: [u64; 13] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 50_000, 100_000, 500_000];

/// What a SIP message is, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// An INVITE.
    Invite,
    /// An ACK.
    Ack,
    /// A BYE.
    Bye,
    /// A CANCEL.
    Cancel,
    /// An OPTIONS.
    Options,
    /// Any other request.
    OtherRequest,
    /// 100.
    Trying,
    /// 101 to 199.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientFailure,
    /// 5xx.
    ServerFailure,
    /// 6xx.
    GlobalFailure,
}

impl MessageKind {
    const ALL: [Self; 13] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Options,
        Self::OtherRequest,
        Self::Trying,
        Self::Provisional,
        Self::Success,
        Self::Redirection,
        Self::ClientFailure,
        Self::ServerFailure,
        Self::GlobalFailure,
    ];

    /// Tells by the first bytes what a message claims to be; it need not be a valid one.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', rest @ ..] => match rest {
                [b'1', b'0', b'0', ..] => Self::Trying,
                [b'1', ..] => Self::Provisional,
                [b'2', ..] => Self::Success,
                [b'3', ..] => Self::Redirection,
                [b'4', ..] => Self::ClientFailure,
                [b'5', ..] => Self::ServerFailure,
                [..] => Self::GlobalFailure,
            },
            [b'I', b'N', b'V', ..] => Self::Invite,
            [b'A', b'C', b'K', ..] => Self::Ack,
            [b'B', b'Y', b'E', ..] => Self::Bye,
            [b'C', b'A', b'N', ..] => Self::Cancel,
            [b'O', b'P', b'T', ..] => Self::Options,
            [..] => Self::OtherRequest,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::OtherRequest => "other",
            Self::Trying => "100",
            Self::Provisional => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientFailure => "4xx",
            Self::ServerFailure => "5xx",
            Self::GlobalFailure => "6xx",
        }
    }
}

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes over a count that is kept elsewhere.
    pub fn catch_up(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }

    /// Returns the count.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Raises the value.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Lowers the value, by no more than it was raised.
    pub fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// Returns the value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    /// Notes one duration.
    pub fn note(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BUCKETS_US.iter().position(|end| us <= *end).and_then(|at| self.buckets.get(at))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn write(&self, text: &mut Text, name: &str, help: &str) {
        text.head(name, "histogram", help);
        let mut below = 0;
        for (end, bucket) in BUCKETS_US.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            text.line(format_args!("{name}_bucket{{le=\"{}\"}} {below}", *end as f64 / 1e6));
        }
        let count = self.count.load(Ordering::Relaxed);
        text.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        text.line(format_args!("{name}_sum {}", self.sum_us.load(Ordering::Relaxed) as f64 / 1e6));
        text.line(format_args!("{name}_count {count}"));
    }
}

impl Metrics {
    /// Counts a call that has ended or was refused.
    pub fn call_ended(&self, record: &CallRecord) {
        let class = match (record.answered_after.is_some(), record.cause.sip) {
            (true, _) => "answered",
            (false, 480 | 486 | 487 | 600 | 603) => "not_taken",
            (false, 300..=499) => "refused",
            (false, _) => "failed",
        };
        let ended = Ended { trunk_in: record.trunk_in.clone(), trunk_out: record.trunk_out.clone(), class };
        *lock(&self.ended).entry(ended).or_default() += 1;
    }

    /// Notes what the trunks are doing.
    pub fn trunks(&self, load: Vec<TrunkLoad>) {
        *lock(&self.trunks) = load;
    }

    /// Adds a media worker to what is shown.
    pub fn worker(&self) -> Arc<WorkerMetrics> {
        let worker = Arc::new(WorkerMetrics::default());
        lock(&self.workers).push(Arc::clone(&worker));
        worker
    }

    /// Notes that signalling turns.
    pub fn beat(&self, now: Instant) {
        *lock(&self.heartbeat) = Some(now);
    }

    /// Whether signalling turned within the last seconds.
    pub fn is_alive(&self, now: Instant) -> bool {
        lock(&self.heartbeat).is_some_and(|beat| now.saturating_duration_since(beat) < HEARTBEAT_MAX)
    }

    /// Returns everything in the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut text = Text(String::with_capacity(8 * 1024));
        self.render_calls(&mut text);
        self.render_sip(&mut text);
        self.render_media(&mut text);
        self.http.render(&mut text);
        self.sms.render(&mut text);
        self.webhooks.render(&mut text);
        self.render_journal(&mut text);
        text.0
    }

    fn render_calls(&self, text: &mut Text) {
        text.gauge("trunkline_calls_active", "Calls in progress.", &self.calls_active);
        text.counter(
            "trunkline_calls_started_total",
            "Calls that began, refused ones included.",
            &self.calls_started,
        );
        text.counter("trunkline_calls_answered_total", "Calls that were answered.", &self.calls_answered);
        let name = "trunkline_calls_ended_total";
        text.head(name, "counter", "Calls that ended or were refused, by trunks and outcome.");
        for (Ended { trunk_in, trunk_out, class }, count) in lock(&self.ended).iter() {
            let shown = |trunk: &Option<TrunkId>| trunk.as_ref().map_or(String::new(), ToString::to_string);
            let (from, to) = (shown(trunk_in), shown(trunk_out));
            text.line(format_args!(
                "{name}{{trunk_in=\"{from}\",trunk_out=\"{to}\",outcome=\"{class}\"}} {count}"
            ));
        }
        let trunks = lock(&self.trunks);
        let name = "trunkline_trunk_calls";
        text.head(name, "gauge", "Calls in progress of a trunk, both directions.");
        for TrunkLoad { trunk, calls, .. } in trunks.iter() {
            text.line(format_args!("{name}{{trunk=\"{trunk}\"}} {calls}"));
        }
        let name = "trunkline_gateway_up";
        text.head(name, "gauge", "Whether a gateway of a trunk takes calls.");
        for TrunkLoad { trunk, gateways, .. } in trunks.iter() {
            for (gateway, up) in gateways {
                let (gateway, up) = (gateway.to_string(), u8::from(*up));
                text.line(format_args!("{name}{{trunk=\"{trunk}\",gateway=\"{gateway}\"}} {up}"));
            }
        }
        let draining = u8::from(self.draining.load(Ordering::Relaxed));
        text.head(
            "trunkline_draining",
            "gauge",
            "Whether new calls are refused because the process is about to end.",
        );
        text.line(format_args!("trunkline_draining {draining}"));
    }

    fn render_sip(&self, text: &mut Text) {
        for (name, help, counters) in [
            ("trunkline_sip_received_total", "SIP messages received.", &self.sip_received),
            ("trunkline_sip_sent_total", "SIP messages sent.", &self.sip_sent),
        ] {
            text.head(name, "counter", help);
            for (kind, counter) in MessageKind::ALL.iter().zip(counters) {
                text.line(format_args!("{name}{{kind=\"{}\"}} {}", kind.label(), counter.value()));
            }
        }
        let name = "trunkline_sip_malformed_total";
        text.head(
            name,
            "counter",
            "What could not be read: single messages, and streams that had to be closed.",
        );
        text.line(format_args!("{name}{{kind=\"message\"}} {}", self.sip_malformed.value()));
        text.line(format_args!("{name}{{kind=\"stream\"}} {}", self.stream_framing_errors.value()));
        text.counter("trunkline_sip_stray_total", "Messages that belong to nothing here.", &self.sip_stray);
        let help = "Requests refused because a table was full.";
        text.counter("trunkline_sip_overloaded_total", help, &self.sip_overloaded);
        let help = "Requests of unknown sources answered 403.";
        text.counter("trunkline_sip_turned_away_total", help, &self.strangers_turned_away);
        let help = "Requests of unknown sources dropped without an answer.";
        text.counter("trunkline_sip_ignored_total", help, &self.calls_from_strangers_ignored);
        let help = "Refused calls of unknown sources without an event and a record, for there were too many.";
        text.counter("trunkline_calls_unreported_total", help, &self.calls_unreported);
        self.invite_to_trying.write(
            text,
            "trunkline_invite_to_100_seconds",
            "From reading an INVITE to its 100.",
        );
        text.gauge("trunkline_sip_transactions", "Transactions kept.", &self.transactions);
        let help = "Datagrams that the system did not take.";
        text.counter("trunkline_sip_send_failures_total", help, &self.sip_send_failures);
        text.gauge("trunkline_sip_connections", "Connections that are open.", &self.stream_connections);
        let help = "Messages dropped because a connection's write queue was full.";
        text.counter("trunkline_sip_stream_queue_drops_total", help, &self.stream_queue_drops);
        let help = "Connections refused or closed by a limit.";
        text.counter("trunkline_sip_stream_refusals_total", help, &self.stream_refusals);
    }

    fn render_media(&self, text: &mut Text) {
        text.gauge("trunkline_rtp_ports_in_use", "RTP ports in use.", &self.rtp_ports_in_use);
        text.gauge("trunkline_rtp_ports", "RTP ports that there are.", &self.rtp_ports);
        let workers = lock(&self.workers);
        type Read = fn(&WorkerMetrics) -> u64;
        let families: [(&str, &str, &str, Read); 15] = [
            ("trunkline_bridges", "gauge", "Bridges open.", |w| w.bridges.value()),
            ("trunkline_rtp_packets_received_total", "counter", "RTP and RTCP packets received.", |w| {
                w.packets_received.value()
            }),
            ("trunkline_rtp_bytes_received_total", "counter", "Bytes of RTP and RTCP received.", |w| {
                w.bytes_received.value()
            }),
            ("trunkline_rtp_packets_sent_total", "counter", "RTP and RTCP packets sent.", |w| {
                w.packets_sent.value()
            }),
            ("trunkline_rtp_bytes_sent_total", "counter", "Bytes of RTP and RTCP sent.", |w| {
                w.bytes_sent.value()
            }),
            ("trunkline_rtp_send_failures_total", "counter", "Packets that the system did not take.", |w| {
                w.send_failures.value()
            }),
            (
                "trunkline_rtp_packets_lost_total",
                "counter",
                "RTP packets that never came, of ended legs.",
                |w| w.packets_lost.value(),
            ),
            (
                "trunkline_rtp_packets_refused_total",
                "counter",
                "RTP packets refused for their source.",
                |w| w.packets_refused.value(),
            ),
            (
                "trunkline_rtp_bind_failures_total",
                "counter",
                "Bridges whose ports could not be bound.",
                |w| w.bind_failures.value(),
            ),
            ("trunkline_browsers", "gauge", "Browsers that have a media leg.", |w| w.browsers.value()),
            (
                "trunkline_browser_ice_failures_total",
                "counter",
                "Browsers whose connectivity checks never came.",
                |w| w.browser_ice_failures.value(),
            ),
            (
                "trunkline_browser_dtls_failures_total",
                "counter",
                "Browsers whose DTLS handshake failed.",
                |w| w.browser_dtls_failures.value(),
            ),
            ("trunkline_browsers_lost_total", "counter", "Browsers that went silent.", |w| {
                w.browsers_lost.value()
            }),
            ("trunkline_browser_refusals_total", "counter", "Browsers refused by a limit.", |w| {
                w.browser_refusals.value()
            }),
            (
                "trunkline_opus_complexity_max",
                "gauge",
                "Greatest complexity of Opus that a worker allows itself; less than 10 under load.",
                |w| w.opus_complexity_max.value(),
            ),
        ];
        for (name, kind, help, read) in families {
            text.head(name, kind, help);
            for (index, worker) in workers.iter().enumerate() {
                text.line(format_args!("{name}{{worker=\"{index}\"}} {}", read(worker)));
            }
        }
        let name = "trunkline_browser_drops_total";
        text.head(name, "counter", "Datagrams on the socket for browsers that were dropped, by reason.");
        for (index, worker) in workers.iter().enumerate() {
            for (reason, count) in Dropped::ALL.iter().zip(&worker.browser_drops) {
                let (reason, count) = (reason.as_str(), count.value());
                text.line(format_args!("{name}{{worker=\"{index}\",reason=\"{reason}\"}} {count}"));
            }
        }
    }

    fn render_journal(&self, text: &mut Text) {
        text.gauge("trunkline_records_waiting", "Call records that wait for storage.", &self.journal_waiting);
        text.counter("trunkline_records_stored_total", "Call records stored.", &self.journal_stored);
        let help = "Call records written to the spill file because storage did not take them.";
        text.counter("trunkline_records_spilled_total", help, &self.journal_spilled);
        text.counter(
            "trunkline_records_lost_total",
            "Call records that could be kept nowhere.",
            &self.journal_lost,
        );
        let name = "trunkline_panics_total";
        text.head(name, "counter", "Panics that were caught; each is a bug.");
        text.line(format_args!("{name}{{task=\"signalling\"}} {}", self.panics.value()));
        text.line(format_args!("{name}{{task=\"https\"}} {}", self.http.panics.value()));
        for (index, worker) in lock(&self.workers).iter().enumerate() {
            text.line(format_args!("{name}{{task=\"media-{index}\"}} {}", worker.panics.value()));
        }
    }
}

/// Signalling turns at least once a second; five times that is not a busy moment any more.
const HEARTBEAT_MAX: Duration = Duration::from_secs(5);

/// A panic while counting leaves a count that is at worst one short.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.line(format_args!("{name} {}", counter.value()));
    }

    fn gauge(&mut self, name: &str, help: &str, gauge: &Gauge) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {}", gauge.value()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::{Gateway, Host, Transport};

    #[test]
    fn a_histogram_counts_each_duration_in_every_bucket_above_it() {
        let metrics = Metrics::default();
        metrics.invite_to_trying.note(Duration::from_micros(150));
        metrics.invite_to_trying.note(Duration::from_secs(2));
        let text = metrics.render();
        assert!(text.contains("trunkline_invite_to_100_seconds_bucket{le=\"0.0001\"} 0\n"), "{text}");
        assert!(text.contains("trunkline_invite_to_100_seconds_bucket{le=\"0.0002\"} 1\n"));
        assert!(text.contains("trunkline_invite_to_100_seconds_bucket{le=\"0.5\"} 1\n"));
        assert!(text.contains("trunkline_invite_to_100_seconds_bucket{le=\"+Inf\"} 2\n"));
    }

    #[test]
    fn messages_are_told_apart_by_their_first_bytes() {
        assert_eq!(MessageKind::of(b"INVITE sip:x SIP/2.0\r\n"), MessageKind::Invite);
        assert_eq!(MessageKind::of(b"SIP/2.0 100 Trying\r\n"), MessageKind::Trying);
        assert_eq!(MessageKind::of(b"SIP/2.0 183 x\r\n"), MessageKind::Provisional);
        assert_eq!(MessageKind::of(b"SIP/2.0 603 x\r\n"), MessageKind::GlobalFailure);
        assert_eq!(MessageKind::of(b""), MessageKind::OtherRequest);
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let metrics = Metrics::default();
        metrics.worker();
        let gateway = Gateway {
            host: Host::Ip("2001:db8::1".parse().unwrap()),
            port: Some(5060),
            transport: Transport::Udp,
            priority: 0,
            weight: 0,
        };
        let trunk = TrunkId::parse("a").unwrap();
        metrics.trunks(vec![TrunkLoad { trunk, calls: 2, gateways: vec![(gateway, true)] }]);
        assert!(metrics.render().contains("gateway=\"[2001:db8::1]:5060/udp\"} 1\n"));
        for line in metrics.render().lines() {
            let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
    }
}
