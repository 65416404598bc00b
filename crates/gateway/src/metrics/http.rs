//! What HTTPS counts.

use super::{Counter, Gauge, Histogram, Text, lock};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// What HTTPS counts.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    /// Connections that are open, handshakes included.
    pub connections: Gauge,
    /// Connections closed at once, because there were as many as may be.
    pub connections_refused: Counter,
    /// TLS handshakes that failed or took too long.
    pub handshake_failures: Counter,
    /// Panics that were caught on a connection; each is a bug.
    pub panics: Counter,
    duration: Histogram,
    /// By operation and status. Both come from fixed lists, so the table stays small.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl HttpMetrics {
    /// Counts an answered request.
    pub fn note(&self, operation: &'static str, status: u16, took: Duration) {
        self.duration.note(took);
        *lock(&self.requests).entry((operation, status)).or_default() += 1;
    }

    pub(super) fn render(&self, text: &mut Text) {
        let name = "trunkline_http_requests_total";
        text.head(name, "counter", "Requests answered, by operation and status.");
        for ((operation, status), count) in lock(&self.requests).iter() {
            text.line(format_args!("{name}{{operation=\"{operation}\",status=\"{status}\"}} {count}"));
        }
        let name = "trunkline_http_request_duration_seconds";
        self.duration.write(text, name, "From the header of a request to its answer.");
        text.gauge("trunkline_http_connections", "HTTPS connections that are open.", &self.connections);
        let help = "HTTPS connections closed at once, because there were as many as may be.";
        text.counter("trunkline_http_connections_refused_total", help, &self.connections_refused);
        let help = "TLS handshakes that failed or took too long.";
        text.counter("trunkline_http_handshake_failures_total", help, &self.handshake_failures);
    }
}
