//! What the gateway answers when it is asked for too much, over HTTP/2, and when it ends.

use crate::program::{self, Client, Program, config};
use crate::{VERSION, create};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline_storage::{Error, Store};

/// Another program that writes to the gateway's database until it is let go: writes of the gateway wait for it.
struct Writer {
    runtime: Runtime,
    go: oneshot::Sender<()>,
    unit: JoinHandle<Result<(), Error>>,
}

impl Writer {
    fn begin(directory: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let url = format!("sqlite:{}/trunkline.db", directory.display());
        let store = runtime.block_on(Store::open(&url)).unwrap();
        let (has_begun, begun) = oneshot::channel();
        let (go, wait) = oneshot::channel::<()>();
        let unit = runtime.spawn(async move {
            let work = store.write(move |_| {
                Box::pin(async move {
                    has_begun.send(()).unwrap();
                    wait.await.unwrap();
                    Ok(())
                })
            });
            work.await
        });
        runtime.block_on(begun).unwrap();
        Self { runtime, go, unit }
    }

    fn end(self) {
        self.go.send(()).unwrap();
        self.runtime.block_on(self.unit).unwrap().unwrap();
    }
}

/// Does it again until it says yes.
fn until(mut yes: impl FnMut() -> bool) {
    let began = Instant::now();
    while !yes() {
        assert!(began.elapsed() < program::PATIENCE, "it did not come to that");
    }
}

/// One place for requests, and a request that needs the database to be written.
const ONE_PLACE: &str = "default_resource = \"contoso\"\n[http.limits]\nrequests_max = 1\n";

fn patch(client: &Client) -> String {
    let trunks = json!({"trunks": {"sbc.contoso.com": {"sipSignalingPort": 5061}}});
    client.signed("PATCH", "/sip?api-version=2023-03-01", &trunks)
}

#[test]
fn a_request_beyond_the_places_is_asked_to_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), ONE_PLACE, "");
    let key = create(&path);
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let writer = Writer::begin(directory.path());
    let mut slow = client.open();
    slow.write(patch(&client).as_bytes());
    let ask = || client.send("GET", "/openapi.json", &Value::Null);
    until(|| ask().status == 503);
    let refused = ask();
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(refused.json()["error"]["code"], "ServiceUnavailable");
    writer.end();
    assert!(slow.read_to_end().starts_with("HTTP/1.1 200 "), "the one that had the place");
    assert_eq!(ask().status, 200);
}

#[test]
fn a_request_beyond_the_rate_is_told_when_to_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let rates = "default_resource = \"contoso\"\n[http.rates]\nwindow_secs = 3600\nrequests_max = 2\n";
    let path = config(directory.path(), rates, "");
    let key = create(&path);
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let ask = || client.send("GET", &format!("/phoneNumbers?{VERSION}"), &Value::Null);
    assert_eq!([ask().status, ask().status], [200, 200]);
    let refused = ask();
    assert_eq!(refused.status, 429, "{refused:?}");
    let pause: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1800).contains(&pause), "{pause}: one of two an hour");
    assert_eq!(client.send("GET", "/openapi.json", &Value::Null).status, 200, "documents cost nobody's rate");
}

#[test]
fn a_request_in_progress_is_finished_when_the_gateway_is_told_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), ONE_PLACE, "");
    let key = create(&path);
    let mut gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let writer = Writer::begin(directory.path());
    let mut slow = client.open();
    slow.write(patch(&client).as_bytes());
    until(|| client.send("GET", "/openapi.json", &Value::Null).status == 503);
    gateway.signal("-TERM");
    until(|| TcpStream::connect(gateway.address("https")).is_err());
    writer.end();
    let answer = slow.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("sbc.contoso.com"), "{answer}");
    let log = gateway.ended_log();
    assert!(!log.iter().any(|line| line.contains("cut off")), "{log:#?}");
}

#[test]
fn http2_is_spoken_within_its_limits() {
    let directory = tempfile::tempdir().unwrap();
    let limits = "default_resource = \"contoso\"\n[http.limits]\nstreams_max = 3\nheader_bytes_max = 8192\n";
    let path = config(directory.path(), limits, "");
    let key = create(&path);
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let (sender, connection) = h2::client::handshake(client.open_http2().await).await.unwrap();
        let connection = tokio::spawn(connection);
        let ask = async |request: hyper::Request<()>| {
            let (answer, _) = sender.clone().ready().await.unwrap().send_request(request, true).unwrap();
            answer.await.unwrap().status().as_u16()
        };
        let signed = || client.signed_http2(&format!("/phoneNumbers?{VERSION}"));
        assert_eq!(ask(signed()).await, 200);
        assert_eq!(sender.current_max_send_streams(), 3);
        // More than may be at once: the client's side holds them back, and all are answered.
        let answers = tokio::join!(ask(signed()), ask(signed()), ask(signed()), ask(signed()), ask(signed()));
        assert_eq!(answers, (200, 200, 200, 200, 200));
        let mut long = signed();
        long.headers_mut().insert("x-long", "x".repeat(8192).parse().unwrap());
        assert_eq!(ask(long).await, 431);
        assert_eq!(ask(signed()).await, 200, "the connection goes on");
        drop(sender);
        connection.await.unwrap().unwrap();
    });
}
