//! A database of its own for each case: a file, or a PostgreSQL server in a temporary directory.

use sqlx::Connection as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use trunkline_storage::Store;

/// A database that goes away with the value.
pub(crate) struct Database {
    url: String,
    // Ended before its directory is removed.
    server: Option<Server>,
    _directory: TempDir,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("store.db").display());
        Self { url, server: None, _directory: directory }
    }

    /// Starts a PostgreSQL server. It listens on a socket file only, so no port is taken.
    pub(crate) fn postgres() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server refuses to run as root, so its own user must reach its directory.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let server = Server::start(&data);
        let url = format!("postgres:///template1?host={}&user=postgres", data.display());
        Self { url, server: Some(server), _directory: directory }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the database has noticed that a client was killed: PostgreSQL may still be finishing its commit.
    pub(crate) async fn settle(&self) {
        if self.server.is_none() {
            return;
        }
        let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
        let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'trunkline'";
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {
            tokio::time::sleep(READY_CHECK_INTERVAL).await;
        }
    }

    /// Ends the PostgreSQL server under whoever uses it.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }
}

struct Server(Child);

impl Server {
    fn start(data: &Path) -> Self {
        let binaries = binaries();
        let user = User::for_postgres();
        if let Some(user) = &user {
            chown(data, Some(user.uid), Some(user.gid)).unwrap();
        }
        fs::set_permissions(data, fs::Permissions::from_mode(0o700)).unwrap();
        let copied = User::command(user.as_ref(), Path::new("/bin/cp"))
            .arg("-rT")
            .arg(template(&binaries, user.as_ref()))
            .arg(data)
            .status()
            .unwrap();
        assert!(copied.success());

        let mut postgres = User::command(user.as_ref(), &binaries.join("postgres"));
        postgres.arg("-D").arg(data).arg("-k").arg(data);
        for setting in SETTINGS {
            postgres.arg("-c").arg(setting);
        }
        let server = Self(postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        server.wait_until_ready(&binaries, data);
        server
    }

    fn wait_until_ready(&self, binaries: &Path, data: &Path) {
        for _ in 0..READY_CHECKS_MAX {
            let mut ready = Command::new(binaries.join("pg_isready"));
            if ready.arg("-q").arg("-h").arg(data).status().unwrap().success() {
                return;
            }
            std::thread::sleep(READY_CHECK_INTERVAL);
        }
        panic!("PostgreSQL did not become ready");
    }
}

/// The cases kill programs, never the machine: syncs would only wear the disk.
const SETTINGS: &[&str] =
    &["listen_addresses=", "fsync=off", "max_connections=100", "autovacuum=off", "shared_buffers=32MB"];

/// Returns a directory with a fresh database cluster to copy, made by whichever case comes first: `initdb` takes
/// longer than most cases.
fn template(binaries: &Path, user: Option<&User>) -> PathBuf {
    let version = binaries.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
    let name = format!("trunkline-test-postgres-{version}-en-us-{}", user.map_or(0, |user| user.uid));
    let template = std::env::temp_dir().join(name);
    if template.exists() {
        return template;
    }
    let directory = tempfile::tempdir().unwrap();
    let fresh = directory.path().join("data");
    fs::create_dir(&fresh).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
    if let Some(user) = user {
        chown(&fresh, Some(user.uid), Some(user.gid)).unwrap();
    }
    let mut initdb = User::command(user, &binaries.join("initdb"));
    initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]);
    // Sorts text as people do, as the databases of most operators do, and needs no locale of the system.
    initdb.args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]);
    let output = initdb.args(["--wal-segsize=1", "-D"]).arg(&fresh).output().unwrap();
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    drop_databases(&binaries.join("postgres"), user, &fresh);
    // Whoever comes second finds the name taken, by a cluster that is as good.
    let _ = fs::rename(&fresh, &template);
    assert!(template.exists());
    template
}

/// Leaves `template1` as the only database, which makes the copy a third as large.
fn drop_databases(postgres: &Path, user: Option<&User>, data: &Path) {
    let mut single = User::command(user, postgres);
    single.arg("--single").arg("-D").arg(data).arg("template1");
    let mut single =
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    single.stdin.take().unwrap().write_all(DROPS).unwrap();
    assert!(single.wait().unwrap().success());
}

/// A line each, as the single-user mode reads them.
const DROPS: &[u8] = b"DROP DATABASE postgres;
UPDATE pg_database SET datistemplate = false WHERE datname = 'template0';
DROP DATABASE template0;
";

/// A loaded machine may take seconds to start the server; a minute means it never will.
const READY_CHECKS_MAX: u32 = 1200;
const READY_CHECK_INTERVAL: Duration = Duration::from_millis(50);

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: it disconnects clients and ends its own children.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.0.wait();
    }
}

/// The account PostgreSQL runs under when we are root.
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    fn for_postgres() -> Option<Self> {
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        root.then(|| Self { uid: Self::id("-u"), gid: Self::id("-g") })
    }

    fn id(flag: &str) -> u32 {
        let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse().expect("root runs these tests as the user postgres, which does not exist")
    }

    /// A command that ends with this process, whatever happens to it.
    fn command(user: Option<&Self>, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if let Some(user) = user {
            command
                .arg(format!("--reuid={}", user.uid))
                .arg(format!("--regid={}", user.gid))
                .arg("--clear-groups");
        }
        command.arg("--").arg(program).current_dir("/");
        command
    }
}

/// Directory of the newest PostgreSQL that Debian has installed.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let directories = versions.map(|version| version.path().join("bin"));
    let mut usable: Vec<_> = directories.filter(|bin| bin.join("initdb").exists()).collect();
    usable.sort();
    usable.pop().expect("PostgreSQL is missing: these tests need it (apt-get install postgresql)")
}
