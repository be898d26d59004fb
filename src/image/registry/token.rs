//! Tokens: what a token server gives for credentials, and the header that a request carries.
//!
//! Clause: the distribution project's token authentication. A registry that asks for Basic gets user and password.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::auth::{Credential, Secret};
use super::challenge::Challenge;
use super::client::{Client, Reached, Reply, Repository, finish, lock, transport};
use super::error::Error;
use super::http::{Body, Request};
use super::insecure::is_local;
use super::url::{Scheme, Url, encode};
use crate::effect::events::Work;

/// The most that a token server's answer may have, in bytes.
const LIMIT: u64 = 1 << 20;
/// How long a token lives when its server does not say.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(5);

/// A token and when it ends.
#[derive(Clone, Debug)]
pub(super) struct Token {
    value: Secret,
    ends: Instant,
}

impl Client {
    /// The value of the header `Authorization`, if one is to be sent.
    pub(super) fn authorization(
        &self,
        repository: &Repository,
        reached: &Reached,
        scopes: &[String],
    ) -> Result<Option<String>, Error> {
        let credential = self.credential(repository)?;
        match (&reached.challenge, credential) {
            (Challenge::None, _)
            | (Challenge::Basic, None | Some(Credential::IdentityToken(_) | Credential::Unknown)) => Ok(None),
            (_, Some(Credential::RegistryToken(token))) => Ok(Some(format!("Bearer {}", token.expose()))),
            (Challenge::Basic, Some(Credential::Basic(pair))) => Ok(Some(format!("Basic {}", pair.expose()))),
            (Challenge::Bearer { realm, service, .. }, _) => {
                let key = scopes.join(" ");
                let mut tokens = lock(&repository.host.tokens);
                let now = self.pause.now();
                if let Some(token) = tokens.get(&key).filter(|token| now < token.ends) {
                    return Ok(Some(format!("Bearer {}", token.value.expose())));
                }
                // Others that want this token wait for it at the lock.
                let token = self.fetch(repository, reached, realm, service, scopes)?;
                let value = format!("Bearer {}", token.value.expose());
                tokens.insert(key, token);
                Ok(Some(value))
            }
        }
    }

    /// Another token after a registry refused one. `None` if there is no other, because it is not from a token server.
    pub(super) fn renewed(
        &self,
        repository: &Repository,
        reached: &Reached,
        scopes: &[String],
        challenge: &Challenge,
    ) -> Result<Option<String>, Error> {
        if matches!(self.credential(repository)?, Some(Credential::RegistryToken(_))) {
            return Ok(None);
        }
        let challenge = if matches!(challenge, Challenge::Bearer { .. }) { challenge } else { &reached.challenge };
        let Challenge::Bearer { realm, service, scope } = challenge else { return Ok(None) };
        let mut wanted = scopes.to_vec();
        if !scope.is_empty() && !wanted.contains(scope) {
            wanted.push(scope.clone());
        }
        let token = self.fetch(repository, reached, realm, service, &wanted)?;
        let value = format!("Bearer {}", token.value.expose());
        lock(&repository.host.tokens).insert(scopes.join(" "), token);
        Ok(Some(value))
    }

    fn fetch(
        &self,
        repository: &Repository,
        reached: &Reached,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<Token, Error> {
        let wrong = |cause: &str| Error::Answer {
            method: "GET",
            url: reached.url.to_string(),
            cause: format!("the registry's token server {cause}"),
        };
        let url = reached.url.join(realm).ok_or_else(|| wrong("has no valid address"))?;
        let credential = self.credential(repository)?;
        let plain = url.scheme() == Scheme::Http && reached.url.scheme() == Scheme::Https;
        if plain && credential.is_some() && !repository.insecure && !is_local(url.authority()) {
            return Err(wrong("has an http address, where credentials are not sent"));
        }
        let get = |authorization: Option<String>| {
            let url = if service.is_empty() { url.clone() } else { url.clone().with("service", service) };
            let url = scopes.iter().fold(url, |url, scope| url.with("scope", scope));
            self.ask(repository, "GET", &url, authorization.as_deref(), None)
        };
        let reply = match credential {
            Some(Credential::Basic(pair)) => get(Some(format!("Basic {}", pair.expose())))?,
            Some(Credential::IdentityToken(token)) => {
                let form = form(service, scopes, token);
                match self.ask(repository, "POST", &url, None, Some(&form)) {
                    // Not every token server knows OAuth.
                    Err(error) if matches!(error.status(), Some(401 | 404 | 405)) => {
                        let pair = STANDARD.encode(format!("<token>:{}", token.expose()));
                        get(Some(format!("Basic {pair}")))?
                    }
                    other => other?,
                }
            }
            _ => get(None)?,
        };
        let answer: serde_json::Value =
            serde_json::from_slice(&reply.body).map_err(|_| wrong("gave an answer that is no JSON"))?;
        let text = |key: &str| answer[key].as_str().filter(|text| !text.is_empty());
        let value = text("token").or(text("access_token")).ok_or_else(|| wrong("gave no token"))?;
        let life = answer["expires_in"].as_u64().filter(|life| *life > 0).map_or(DEFAULT_LIFE, Duration::from_secs);
        // A broken server's life must not overflow the clock.
        let life = life.min(Duration::from_secs(24 * 3600)).saturating_sub(MARGIN);
        Ok(Token { value: Secret::new(value), ends: self.pause.now() + life })
    }

    fn ask(
        &self,
        repository: &Repository,
        method: &'static str,
        url: &Url,
        authorization: Option<&str>,
        form: Option<&str>,
    ) -> Result<Reply, Error> {
        let mut headers = Vec::new();
        headers.extend(authorization.map(|value| ("authorization", value)));
        headers.extend(form.map(|_| ("content-type", "application/x-www-form-urlencoded")));
        let body = form.map_or(Body::None, |form| Body::Bytes(form.as_bytes()));
        let insecure = repository.insecure;
        self.retried(Work::Request { method, about: "token" }, true, || {
            let request = Request { method, url, headers: headers.clone(), body, insecure };
            let answer = self.transport.send(&request).map_err(|failure| transport(method, url, failure))?;
            finish(Reply::new(url.clone(), answer), method, &[200], Some(LIMIT))
        })
    }
}

fn form(service: &str, scopes: &[String], token: &Secret) -> String {
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", "cnb-lifecycle"),
        ("service", service),
        ("scope", &scopes.join(" ")),
        ("refresh_token", token.expose()),
    ];
    fields.map(|(name, value)| format!("{name}={}", encode(value))).join("&")
}
