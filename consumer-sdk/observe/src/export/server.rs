//! Answers HTTP requests: one thread for all of them, and an end for each connection.

use super::accept::wants_openmetrics;
use super::board::Board;
use super::text::{CLASSIC, OPENMETRICS};
use crate::failure::say;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Longest life of a connection. A scrape takes milliseconds, and Prometheus gives up after ten seconds.
const LONGEST: Duration = Duration::from_secs(10);

/// Most connections at a time. One more ends the oldest: who comes and asks is always heard.
const MOST_CONNECTIONS: usize = 128;

/// Longest request without its body.
const LONGEST_REQUEST: usize = 16 << 10;

/// How long to wait where no connection can be accepted, as without a free descriptor.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

const LANDING: &str = include_str!("landing.html");

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener, board: Arc<Board>) -> Infallible {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    let mut has_complained = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection| !connection.is_finished());
                if connections.len() >= MOST_CONNECTIONS
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                let answering = tokio::spawn(answer_all(stream, Arc::clone(&board)));
                connections.push_back(answering.abort_handle());
            }
            Err(cause) => {
                if !has_complained {
                    say(&format!("cannot accept a connection: {cause}. Trying on"));
                    has_complained = true;
                }
                tokio::time::sleep(AFTER_A_FAILURE).await;
            }
        }
    }
}

/// Serves one connection. What goes wrong with it is the client's affair.
async fn answer_all(stream: TcpStream, board: Arc<Board>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &request, &board);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        // Each scrape comes with a connection of its own, so that each can have an end.
        .keep_alive(false)
        .half_close(true)
        .max_buf_size(LONGEST_REQUEST)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(LONGEST, connection).await;
}

fn answer(
    method: &Method,
    path: &str,
    request: &Request<Incoming>,
    board: &Board,
) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    if ![Method::GET, Method::HEAD].contains(method) {
        let text = "There is only GET and HEAD here.\n";
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        let methods = hyper::header::HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, methods);
        return refusal;
    }
    match path {
        "/" => response(StatusCode::OK, "text/html; charset=utf-8", LANDING),
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter();
            let accept = accept.filter_map(|value| value.to_str().ok());
            let is_openmetrics = wants_openmetrics(accept);
            let kind = if is_openmetrics { OPENMETRICS } else { CLASSIC };
            response(StatusCode::OK, kind, board.text(is_openmetrics))
        }
        _ => response(
            StatusCode::NOT_FOUND,
            PLAIN,
            "There is nothing here. Metrics are at /metrics.\n",
        ),
    }
}

fn response(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, kind)
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Full::new(body.into()));
    response.expect("all of these headers are valid")
}
