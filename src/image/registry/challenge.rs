//! What a registry wants before it answers: the header `WWW-Authenticate`.

/// How a registry wants to be told who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Challenge {
    /// It does not want to know.
    #[default]
    None,
    /// User and password with each request.
    Basic,
    /// A token of a token server.
    Bearer {
        /// The token server's address.
        realm: String,
        /// The service that the token is for; may be empty.
        service: String,
        /// What the token must allow; may be empty.
        scope: String,
    },
}

impl Challenge {
    /// Reads the header's values. A bearer token is preferred where both are offered.
    pub(super) fn parse(values: &[&str]) -> Self {
        let found: Vec<Self> = values.iter().filter_map(|value| Self::parse_one(value)).collect();
        let bearer = found.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(found.first()).cloned().unwrap_or_default()
    }

    fn parse_one(value: &str) -> Option<Self> {
        let (kind, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if kind.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (String::new(), String::new(), String::new());
        for (name, value) in parameters(rest) {
            match name.as_str() {
                "realm" => realm = value,
                "service" => service = value,
                "scope" => scope = value,
                _ => {}
            }
        }
        Some(Self::Bearer { realm, service, scope })
    }
}

/// `name="value"` or `name=value`, separated by commas; values in quotes may have commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_ascii_lowercase();
        let mut value = String::new();
        let after = after.trim_start();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((index, c)) = chars.next() {
                match c {
                    '\\' => value.extend(chars.next().map(|(_, c)| c)),
                    '"' => {
                        end = index + 1;
                        break;
                    }
                    c => value.push(c),
                }
            }
            rest = &quoted[end..];
        } else {
            let end = after.find(',').unwrap_or(after.len());
            after[..end].trim().clone_into(&mut value);
            rest = &after[end..];
        }
        found.push((name, value));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_registries_send() {
        let bearer = |realm: &str, service: &str, scope: &str| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scope: scope.to_owned(),
        };
        for (values, expected) in [
            (&[][..], Challenge::None),
            (&["Basic realm=\"x\""], Challenge::Basic),
            (&["basic"], Challenge::Basic),
            (&["Negotiate"], Challenge::None),
            (
                &["Bearer realm=\"https://auth.io/token\",service=\"reg.io\",scope=\"repository:a/b:pull,push\""],
                bearer("https://auth.io/token", "reg.io", "repository:a/b:pull,push"),
            ),
            (&["Basic realm=\"x\"", "BEARER Realm=https://t , service = s"], bearer("https://t", "s", "")),
            (&["Bearer realm=\"a\\\"b"], bearer("a\"b", "", "")),
            (&["Bearer realm=\"unclosed\\"], bearer("unclosed", "", "")),
        ] {
            assert_eq!(Challenge::parse(values), expected, "{values:?}");
        }
    }
}
