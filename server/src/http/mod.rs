//! Health and figures over HTTP, for load balancers and Prometheus: `/health`, `/ready` and `/metrics`.
//!
//! It is a process of its own that the supervisor starts: what strangers send is parsed where there is nothing to lose. It asks
//! nobody: all it tells is on the control page, so it answers while shards are down, and costs them nothing.

mod metrics;

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::live::control::{ControlPage, Phase};
use runtime::live::layout::find_run_folder;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::error::Error;

/// Connections at once; others wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may live, idle or not.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's head; there is no body that anyone reads.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Pause after the system could not accept a connection, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process is ended.
pub fn run(data: &Path, listen: SocketAddr) -> Result<(), Error> {
    let system = |what| move |source| Error::System { what, source };
    let run = find_run_folder(data).map_err(system("the database does not run"))?;
    let page = ControlPage::open(&run.control()).map_err(system("the control page cannot be read"))?;
    let page = Rc::new(Watched { page, data: data.to_owned() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("no event loop"))?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(listen).await;
        let failed = |source| Error::Listen { address: listen.to_string(), source };
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // Whoever started this reads one line; if nobody does, the line is for nobody.
        let _ = writeln!(std::io::stdout(), "{address}");
        accept(listener, page).await;
        Ok(())
    })
}

/// What is told.
struct Watched {
    page: ControlPage,
    data: PathBuf,
}

async fn accept(listener: TcpListener, watched: Rc<Watched>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let watched = Rc::clone(&watched);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let response = answer(&watched, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // However it ended, it is over.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

fn answer(watched: &Watched, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let page = &watched.page;
    match request.uri().path() {
        "/health" => text(StatusCode::OK, "ok\n".to_owned()),
        "/ready" => {
            let (ready, words) = readiness(page);
            text(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, words)
        }
        "/metrics" => text(StatusCode::OK, metrics::render(page)),
        "/" => text(
            StatusCode::OK,
            format!("sakia serves {}\n/health /ready /metrics\n", watched.data.display()),
        ),
        _ => text(StatusCode::NOT_FOUND, "there are /health, /ready and /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// Whether every shard serves, and in words what each is doing.
fn readiness(page: &ControlPage) -> (bool, String) {
    let phases: Vec<Phase> = page.shard_ids().map(|shard| page.phase(shard)).collect();
    let words = phases.iter().enumerate().map(|(shard, phase)| format!("shard {shard}: {phase:?}\n"));
    (phases.iter().all(|phase| *phase == Phase::Running), words.collect())
}
