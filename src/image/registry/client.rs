//! Requests to registries: the right scheme, the right credentials, tried again where that may help.
//!
//! A registry is asked once, at `/v2/`, how it is reached and what it wants to know. Every request after that goes
//! through [`Client::call`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::auth::{Credential, Keychain};
use super::challenge::Challenge;
use super::error::{self, Error, Refusal};
use super::http::{Answer, Body, Request, Transport, may_be_plain};
use super::insecure::Insecure;
use super::retry::{Pause, Retries, RetryPolicy};
use super::token::Token;
use super::upload::next_url;
use super::url::{Scheme, Url};
use crate::effect::events::{Facts, Listener, Note, Outcome, SessionEvent, Work};
use crate::model::digest::Digest;
use crate::model::reference::Reference;
use crate::net::{Failure, retry_after};

/// The most that is read of an answer that says no, in bytes.
const REFUSAL_LIMIT: u64 = 64 << 10;
/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// Sends requests to registries.
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) keychain: Keychain,
    pub(super) pause: Arc<dyn Pause>,
    pub(super) insecure: Vec<Insecure>,
    pub(super) retry: RetryPolicy,
    pub(super) listener: Listener,
    pub(super) hosts: Mutex<BTreeMap<(String, bool), Arc<Host>>>,
    /// The ids of layers, by the digests of their blobs, for who reads how far they are.
    pub(super) names: Mutex<BTreeMap<Digest, String>>,
}

/// What is known of a registry.
#[derive(Default)]
pub(super) struct Host {
    reached: Mutex<Reach>,
    /// How often it could not be reached.
    failures: AtomicUsize,
    pub(super) tokens: Mutex<BTreeMap<String, Token>>,
}

/// What trying to reach a registry led to.
#[derive(Default)]
enum Reach {
    #[default]
    Untried,
    Reached(Reached),
    Failed(Arc<Error>),
}

/// How a registry is reached, and what it wants.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) url: Url,
    pub(super) challenge: Challenge,
}

/// A repository of a registry.
#[derive(Clone)]
pub(super) struct Repository {
    pub(super) registry: String,
    pub(super) name: String,
    pub(super) insecure: bool,
    pub(super) host: Arc<Host>,
}

/// A request to a registry.
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    /// What it is about, as a fixed word for events.
    pub(super) about: &'static str,
    pub(super) target: Target<'a>,
    pub(super) headers: Vec<(&'static str, &'a str)>,
    pub(super) body: Body<'a>,
    /// What a token must allow.
    pub(super) scopes: Vec<String>,
    /// The statuses that are not errors.
    pub(super) accepts: &'a [u16],
    /// It can be tried again as it is.
    pub(super) again: bool,
    /// The whole body is read, of at most as many bytes; `None` leaves it a stream.
    pub(super) limit: Option<u64>,
}

/// Where a request goes.
pub(super) enum Target<'a> {
    /// A path behind `/v2/<repository>/`.
    Path(String),
    /// An address that the registry gave.
    Url(&'a Url),
}

/// An answer, and from where.
pub(super) struct Reply {
    pub(super) url: Url,
    pub(super) answer: Answer,
    /// The body, where the call has a limit.
    pub(super) body: Vec<u8>,
    /// How many bytes the request had as its own body.
    pub(super) sent: u64,
}

impl Reply {
    /// An answer whose body is not read yet.
    pub(super) fn new(url: Url, answer: Answer) -> Self {
        Self { url, answer, body: Vec::new(), sent: 0 }
    }

    /// Checks that what the registry stored is what was sent, if it says what it stored (policy P26). The specification
    /// lets it say so by another algorithm, and some registries write what is no digest: that says nothing.
    pub(super) fn stored(&self, method: &'static str, sent: &Digest) -> Result<(), Error> {
        match self.answer.header("docker-content-digest") {
            Some(stored) if Digest::parse(&stored.to_ascii_lowercase()).is_ok_and(|stored| stored != *sent) => {
                let cause = format!("the registry stored {stored} instead of {sent}");
                Err(Error::Answer { method, url: self.url.to_string(), cause })
            }
            _ => Ok(()),
        }
    }
}

impl Repository {
    /// Tells whether two are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.registry, &self.name) == (&other.registry, &other.name)
    }

    /// The scope for reading.
    pub(super) fn pull(&self) -> String {
        format!("repository:{}:pull", self.name)
    }

    /// The scope for writing.
    pub(super) fn push(&self) -> String {
        format!("repository:{}:push,pull", self.name)
    }

    /// The scope for deleting.
    pub(super) fn delete(&self) -> String {
        format!("repository:{}:delete", self.name)
    }

    /// The address of something in it. A query is `name=value` with values that are encoded here.
    fn url(&self, reached: &Reached, path: &str) -> Url {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = format!("/v2/{}/{path}", self.name);
        let url = Url::new(reached.url.scheme(), reached.url.authority(), path);
        query.split('&').filter_map(|pair| pair.split_once('=')).fold(url, |url, (name, value)| url.with(name, value))
    }
}

impl Client {
    /// The repository of an image.
    pub(super) fn repository(&self, reference: &Reference) -> Repository {
        let (registry, name) = (reference.registry().to_owned(), reference.repository().to_owned());
        let insecure = self.insecure.iter().any(|entry| entry.matches(&registry, &name));
        let host = lock(&self.hosts).entry((registry.clone(), insecure)).or_default().clone();
        Repository { registry, name, insecure, host }
    }

    /// Sends a request until it is answered or there is no more hope.
    pub(super) fn call(&self, repository: &Repository, call: &Call<'_>) -> Result<Reply, Error> {
        let reached = self.reach(repository)?;
        let url = match &call.target {
            Target::Path(path) => repository.url(&reached, path),
            Target::Url(url) => (*url).clone(),
        };
        let work = Work::Request { method: call.method, about: call.about };
        self.retried(work, call.again, || self.once(repository, &reached, &url, call))
    }

    /// Does something until it works or there is no more hope, and tells of it.
    pub(super) fn retried(
        &self,
        work: Work,
        again: bool,
        mut once: impl FnMut() -> Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        let mut retries = Retries::new(self.retry, self.pause.as_ref());
        // What is not there is an answer: a first build looks for its previous image.
        let may_be_missing = matches!(work, Work::Request { about: "manifest", .. });
        let ongoing = self.listener.begin(work);
        loop {
            let error = match once() {
                Ok(reply) => {
                    let bytes = Some(reply.sent + reply.body.len() as u64).filter(|bytes| *bytes > 0);
                    let facts = Facts { status: Some(reply.answer.status), bytes, ..Facts::default() };
                    ongoing.end(Outcome::Success, facts);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            let attempt = if again && error.is_retryable() { retries.wait(error.retry_after()) } else { None };
            let Some(attempt) = attempt else {
                let status = error.status();
                let (outcome, error_type) = match (&error, status) {
                    (Error::CalledOff, _) => (Outcome::Skip, None),
                    (_, Some(404)) if may_be_missing => (Outcome::Success, None),
                    (_, Some(_)) => (Outcome::Error, Some("http")),
                    (_, None) => (Outcome::Error, Some("io")),
                };
                ongoing.end(outcome, Facts { status, error_type, ..Facts::default() });
                return Err(error);
            };
            ongoing.note(Note::Retry { attempt, status: error.status() });
        }
    }

    fn once(&self, repository: &Repository, reached: &Reached, url: &Url, call: &Call<'_>) -> Result<Reply, Error> {
        let mut authorization = self.authorization(repository, reached, &call.scopes)?;
        let mut reply = self.follow(repository, reached, url, call, authorization.as_deref())?;
        if reply.answer.status == 401
            && authorization.is_some()
            && matches!(reached.challenge, Challenge::Bearer { .. })
        {
            // The token ran out early, or must allow more than was thought.
            let challenge = Challenge::parse(&reply.answer.headers("www-authenticate"));
            let renewed = self.renewed(repository, reached, &call.scopes, &challenge)?;
            if renewed.is_some() {
                authorization = renewed;
                reply = self.follow(repository, reached, url, call, authorization.as_deref())?;
            }
        }
        finish(reply, call.method, call.accepts, call.limit)
    }

    /// Sends a request and follows where it is redirected to, as Go's client does but for one thing: what writes is not
    /// made one that reads.
    fn follow(
        &self,
        repository: &Repository,
        reached: &Reached,
        url: &Url,
        call: &Call<'_>,
        authorization: Option<&str>,
    ) -> Result<Reply, Error> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let mut headers = call.headers.clone();
            let own = url.is_same_host(&reached.url);
            if own && let Some(authorization) = authorization {
                headers.push(("authorization", authorization));
            }
            let insecure = repository.insecure;
            let request = Request { method: call.method, url: &url, headers, body: call.body, insecure };
            let answer = self.transport.send(&request).map_err(|failure| {
                if call.body.is_called_off() { Error::CalledOff } else { transport(call.method, &url, failure) }
            })?;
            let reads = matches!(call.method, "GET" | "HEAD");
            let redirected = matches!(answer.status, 307 | 308) || (reads && matches!(answer.status, 301..=303));
            if !redirected {
                return Ok(Reply { sent: call.body.len().unwrap_or(0), ..Reply::new(url, answer) });
            }
            url = if reads {
                location(call.method, &url, &answer)?
            } else {
                next_url(call.method, repository, &url, &answer)?
            };
        }
        Err(Error::Answer { method: call.method, url: url.to_string(), cause: "too many redirects".to_owned() })
    }

    /// Finds out how a registry is reached: https, or http where that is allowed and https leads nowhere.
    fn reach(&self, repository: &Repository) -> Result<Reached, Error> {
        let host = &repository.host;
        let failures = host.failures.load(Ordering::Acquire);
        let mut known = lock(&host.reached);
        match &*known {
            Reach::Reached(reached) => return Ok(reached.clone()),
            // Who waited for another's tries shares what came of them; who asks later tries again.
            Reach::Failed(error) if host.failures.load(Ordering::Acquire) != failures => {
                return Err(Error::Shared(Arc::clone(error)));
            }
            Reach::Failed(_) | Reach::Untried => {}
        }
        let result = self.find(repository).map_err(Arc::new);
        if result.is_err() {
            host.failures.fetch_add(1, Ordering::Release);
        }
        *known = match &result {
            Ok(reached) => Reach::Reached(reached.clone()),
            Err(error) => Reach::Failed(Arc::clone(error)),
        };
        result.map_err(Error::Shared)
    }

    fn find(&self, repository: &Repository) -> Result<Reached, Error> {
        let work = Work::Request { method: "GET", about: "ping" };
        let reply = self.retried(work, true, || {
            let https = match self.ping(repository, Scheme::Https) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if !may_be_plain(&repository.registry, repository.insecure) {
                return Err(https);
            }
            self.ping(repository, Scheme::Http)
                .map_err(|http| Error::Unreachable { https: Box::new(https), http: Box::new(http) })
        })?;
        let challenge = match reply.answer.status {
            401 => Challenge::parse(&reply.answer.headers("www-authenticate")),
            _ => Challenge::None,
        };
        let plain = reply.url.scheme() == Scheme::Http;
        if plain || repository.insecure {
            self.listener
                .events
                .emit(SessionEvent::UnsafeRegistry { registry: repository.registry.clone(), plain }.into());
        }
        Ok(Reached { url: reply.url, challenge })
    }

    fn ping(&self, repository: &Repository, scheme: Scheme) -> Result<Reply, Error> {
        let url = Url::new(scheme, &repository.registry, "/v2/");
        let insecure = repository.insecure;
        let request = Request { method: "GET", url: &url, headers: Vec::new(), body: Body::None, insecure };
        let answer = self.transport.send(&request).map_err(|failure| transport("GET", &url, failure))?;
        finish(Reply::new(url, answer), "GET", &[200, 401], Some(REFUSAL_LIMIT))
    }

    /// The credential for a repository.
    pub(super) fn credential(&self, repository: &Repository) -> Result<Option<&Credential>, Error> {
        match self.keychain.find(&repository.registry, &repository.name) {
            Some(Credential::Unknown) => Err(Error::AuthType),
            other => Ok(other),
        }
    }
}

/// Turns an answer that says no into an error, and reads the body of others where it is wanted whole.
pub(super) fn finish(
    mut reply: Reply,
    method: &'static str,
    accepts: &[u16],
    limit: Option<u64>,
) -> Result<Reply, Error> {
    if !accepts.contains(&reply.answer.status) {
        let (reasons, body) = error::reasons(&reply.answer.start(REFUSAL_LIMIT));
        let refusal = Refusal {
            status: reply.answer.status,
            is_head: method == "HEAD",
            reasons,
            body,
            retry_after: reply
                .answer
                .header("retry-after")
                .and_then(|value| retry_after(value, reply.answer.header("date"))),
        };
        return Err(Error::Status { method, url: reply.url.to_string(), refusal: Box::new(refusal) });
    }
    if let Some(limit) = limit
        && method != "HEAD"
    {
        reply.body = reply.answer.read(limit).map_err(|failure| transport(method, &reply.url, failure))?;
        if reply.body.len() as u64 > limit {
            let cause = format!("the answer is larger than {limit} bytes");
            return Err(Error::Answer { method, url: reply.url.to_string(), cause });
        }
    }
    Ok(reply)
}

/// The error for a request without answer.
pub(super) fn transport(method: &'static str, url: &Url, failure: Failure) -> Error {
    Error::Transport { method, url: url.to_string(), cause: failure.cause, retryable: failure.retryable }
}

/// The address that an answer sends us to.
pub(super) fn location(method: &'static str, url: &Url, answer: &Answer) -> Result<Url, Error> {
    let wrong = |cause: &str| Error::Answer { method, url: url.to_string(), cause: cause.to_owned() };
    let location = answer.header("location").ok_or_else(|| wrong("the answer has no Location"))?;
    url.join(location).ok_or_else(|| wrong("the answer's Location is no address"))
}

/// Locks, also when a thread died while it held the lock: what is in it is only known or unknown.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
