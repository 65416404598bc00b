//! What is counted of events on their way to subscribers.

use super::{Counter, Gauge, Histogram, Text};

/// Events on their way to subscribers.
#[derive(Debug, Default)]
pub struct WebhookMetrics {
    /// Events that arrived.
    pub delivered: Counter,
    /// Attempts that failed and come again.
    pub failed: Counter,
    /// Events that were given up.
    pub dead: Counter,
    /// Requests under way.
    pub under_way: Gauge,
    /// Subscriptions that are served.
    pub subscriptions: Gauge,
    /// Endpoints that are left alone because they do not answer.
    pub silent: Gauge,
    /// Subscriptions that get no new events because they have too many.
    pub full: Gauge,
    /// Commits that failed and were tried again.
    pub write_failures: Counter,
    /// From the request to its answer.
    pub duration: Histogram,
}

impl WebhookMetrics {
    pub(super) fn render(&self, text: &mut Text) {
        for (name, help, counter) in [
            ("trunkline_webhooks_delivered_total", "Events that arrived at a subscriber.", &self.delivered),
            (
                "trunkline_webhooks_failed_total",
                "Attempts to deliver an event that failed and come again.",
                &self.failed,
            ),
            ("trunkline_webhooks_dead_total", "Events that were given up.", &self.dead),
            (
                "trunkline_webhooks_write_failures_total",
                "Commits of deliveries that failed and were tried again.",
                &self.write_failures,
            ),
        ] {
            text.counter(name, help, counter);
        }
        for (name, help, gauge) in [
            ("trunkline_webhooks_under_way", "Requests to subscribers under way.", &self.under_way),
            ("trunkline_webhooks_subscriptions", "Subscriptions that are served.", &self.subscriptions),
            (
                "trunkline_webhooks_silent",
                "Endpoints that are left alone because they do not answer.",
                &self.silent,
            ),
            (
                "trunkline_webhooks_full",
                "Subscriptions that get no new events because they have too many.",
                &self.full,
            ),
        ] {
            text.gauge(name, help, gauge);
        }
        let name = "trunkline_webhooks_duration_seconds";
        self.duration.write(text, name, "From a request to a subscriber to its answer.");
    }
}
