//! Messages to and from name servers: one question, and the addresses in its answer (RFC 1035, section 4; RFC 3596).
//!
//! What comes from a server is bytes of a stranger: everything is bounded by the message itself, and nothing panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest name, in bytes as messages carry it.
const NAME_LIMIT: usize = 255;
/// The longest part between two dots, in bytes.
const LABEL_LIMIT: usize = 63;
/// How many aliases a name may have one after the other.
const ALIAS_LIMIT: usize = 16;
/// The class of everything on the internet.
const INTERNET: u16 = 1;
/// The type of a record that says that its owner is another name's alias.
const CNAME: u16 = 5;

/// The address records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4: A.
    V4,
    /// IPv6: AAAA.
    V6,
}

impl Family {
    fn record_type(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// A name as messages carry it: parts behind their lengths, in lower case, closed by the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

impl Name {
    /// Reads a name with dots; `None` if no message can carry it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let length =
                u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_LIMIT).contains(&(*length).into()))?;
            bytes.push(length);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        bytes.push(0);
        (bytes.len() <= NAME_LIMIT).then_some(Self(bytes))
    }
}

/// A question for the addresses of one family.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    /// What the answer must repeat.
    pub(super) id: u16,
    pub(super) name: &'a Name,
    pub(super) family: Family,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All addresses of the name in the family that was asked for: none if there is no such name, too.
    Addresses(Vec<IpAddr>),
    /// The answer does not fit into one datagram: ask by TCP.
    Truncated,
    /// The server cannot say, or says what makes no sense.
    Misbehaving,
}

impl Question<'_> {
    /// The message that asks it.
    pub(super) fn message(&self) -> Vec<u8> {
        const RECURSION_DESIRED: u16 = 0x0100;
        let mut message = Vec::with_capacity(12 + NAME_LIMIT + 4);
        // One question, no records.
        for number in [self.id, RECURSION_DESIRED, 1, 0, 0, 0] {
            message.extend(number.to_be_bytes());
        }
        message.extend(&self.name.0);
        message.extend(self.family.record_type().to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message
    }

    /// Reads a message; `None` if it does not answer this question.
    pub(super) fn answer_in(&self, message: &[u8]) -> Option<Answer> {
        const RESPONSE: u16 = 0x8000;
        const OPERATION: u16 = 0x7800;
        const TRUNCATED: u16 = 0x0200;
        const AUTHORITATIVE_OR_RECURSIVE: u16 = 0x0480;
        let mut reader = Reader { message, at: 0 };
        let (id, flags, questions, answers) = (reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?);
        reader.take(4)?;
        let asked = questions == 1
            && reader.name()? == *self.name
            && reader.u16()? == self.family.record_type()
            && reader.u16()? == INTERNET;
        if id != self.id || flags & (RESPONSE | OPERATION) != RESPONSE || !asked {
            return None;
        }
        if flags & TRUNCATED != 0 {
            return Some(Answer::Truncated);
        }
        Some(match flags & 0xf {
            // A server that neither knows nor asks others has only referred us to those that may know.
            0 if answers == 0 && flags & AUTHORITATIVE_OR_RECURSIVE == 0 => Answer::Misbehaving,
            0 => match reader.records(answers, self.family) {
                Some(records) => Answer::Addresses(addresses(&records, self.name)),
                None => Answer::Misbehaving,
            },
            3 => Answer::Addresses(Vec::new()),
            _ => Answer::Misbehaving,
        })
    }
}

/// What an answer says of a name.
enum Record {
    Address(Name, IpAddr),
    Alias(Name, Name),
}

/// The addresses of a name or, if it is an alias, of the name that it stands for. Records may be in any order.
fn addresses(records: &[Record], name: &Name) -> Vec<IpAddr> {
    let mut name = name;
    for _ in 0..ALIAS_LIMIT {
        let own = |record: &Record| match record {
            Record::Address(owner, address) if owner == name => Some(*address),
            _ => None,
        };
        let found: Vec<IpAddr> = records.iter().filter_map(own).collect();
        let alias = records.iter().find_map(|record| match record {
            Record::Alias(owner, of) if owner == name => Some(of),
            _ => None,
        });
        match alias {
            Some(of) if found.is_empty() => name = of,
            _ => return found,
        }
    }
    Vec::new()
}

/// Reads a message from its start to its end; every method gives `None` where the message ends too early.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A name, whose end may be somewhere before it. It is read backwards only, so that it has an end.
    fn name(&mut self) -> Option<Name> {
        let mut bytes = Vec::new();
        let mut behind = None;
        let mut run = self.at;
        loop {
            let length = self.array::<1>()?[0];
            match length >> 6 {
                0 => {
                    bytes.push(length);
                    bytes.extend(self.take(length.into())?.iter().map(u8::to_ascii_lowercase));
                    if bytes.len() > NAME_LIMIT {
                        return None;
                    }
                    if length == 0 {
                        self.at = behind.unwrap_or(self.at);
                        return Some(Name(bytes));
                    }
                }
                3 => {
                    let low = self.array::<1>()?[0];
                    behind = behind.or(Some(self.at));
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= run {
                        return None;
                    }
                    (self.at, run) = (target, target);
                }
                _ => return None,
            }
        }
    }

    /// The next records, as far as they matter.
    fn records(&mut self, count: u16, family: Family) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        for _ in 0..count {
            let owner = self.name()?;
            let (record_type, class) = (self.u16()?, self.u16()?);
            // How long it may be remembered; nothing is.
            self.take(4)?;
            let length = self.u16()?.into();
            let start = self.at;
            let data = self.take(length)?;
            if class != INTERNET {
                continue;
            }
            if record_type == CNAME {
                let mut reader = Reader { message: self.message, at: start };
                records.push(Record::Alias(owner, reader.name()?));
            } else if record_type == family.record_type() {
                let address = match family {
                    Family::V4 => <[u8; 4]>::try_from(data).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
                    Family::V6 => <[u8; 16]>::try_from(data).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
                };
                records.push(Record::Address(owner, address?));
            }
        }
        Some(records)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: usize = 12;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// An answer to a question for `a.io`: flags, and records as owner, type, data.
    fn message(flags: u16, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut message = Question { id: 7, name: &name("a.io"), family: Family::V4 }.message();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        for (owner, record_type, data) in records {
            message.extend(*owner);
            message.extend(record_type.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(*data);
        }
        message
    }

    fn answer(message: &[u8]) -> Option<Answer> {
        Question { id: 7, name: &name("A.io"), family: Family::V4 }.answer_in(message)
    }

    fn found(addresses: &[&str]) -> Answer {
        Answer::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }

    /// Points to the name in the question.
    const ASKED: &[u8] = &[0xc0, 12];

    #[test]
    fn knows_which_names_a_message_can_carry() {
        assert_eq!(name("a.IO."), Name(b"\x01a\x02io\0".to_vec()));
        let long = "a".repeat(63);
        for no_name in ["", ".", "a..b", ".a", &"a".repeat(64), &[&long[..]; 4].join(".")] {
            assert_eq!(Name::parse(no_name), None, "{no_name}");
        }
        assert!(Name::parse(&[&long[..], &long, &long, &long[2..]].join(".")).is_some());
    }

    #[test]
    fn follows_aliases_in_any_order() {
        let www = [&b"\x03www"[..], ASKED].concat();
        let records: [(&[u8], u16, &[u8]); 4] = [
            (b"\x01c\0", 1, &[10, 0, 0, 1]),
            (&www, CNAME, b"\x01c\0"),
            (b"\x01x\0", 1, &[10, 0, 0, 9]),
            (ASKED, CNAME, b"\x03WWW\xc0\x0c"),
        ];
        assert_eq!(answer(&message(0x8180, &records)), Some(found(&["10.0.0.1"])));
        assert_eq!(answer(&message(0x8180, &records[1..])), Some(found(&[])));
        let circle: (&[u8], u16, &[u8]) = (ASKED, CNAME, ASKED);
        assert_eq!(answer(&message(0x8180, &[circle])), Some(found(&[])));
    }

    #[test]
    fn reads_addresses_of_both_families() {
        let name = name("a.io");
        let question = Question { id: 7, name: &name, family: Family::V6 };
        let mut v6 = message(0x8180, &[(ASKED, 28, &Ipv6Addr::LOCALHOST.octets())]);
        assert_eq!(question.answer_in(&v6), None);
        v6[HEAD + 7] = 28;
        assert_eq!(question.answer_in(&v6), Some(found(&["::1"])));
        let v4 = message(0x8180, &[(ASKED, 1, &[10, 0, 0, 1]), (ASKED, 28, &[0; 16]), (ASKED, 1, &[10, 0, 0, 2])]);
        assert_eq!(answer(&v4), Some(found(&["10.0.0.1", "10.0.0.2"])));
    }

    #[test]
    fn knows_what_a_server_says_without_addresses() {
        assert_eq!(answer(&message(0x8183, &[])), Some(found(&[])));
        assert_eq!(answer(&message(0x8180, &[])), Some(found(&[])));
        assert_eq!(answer(&message(0x8380, &[])), Some(Answer::Truncated));
        // SERVFAIL, REFUSED, a referral, an address of three bytes.
        for misbehaving in [
            message(0x8182, &[]),
            message(0x8185, &[]),
            message(0x8100, &[]),
            message(0x8180, &[(ASKED, 1, &[1, 2, 3])]),
        ] {
            assert_eq!(answer(&misbehaving), Some(Answer::Misbehaving));
        }
    }

    #[test]
    fn takes_no_answer_to_another_question() {
        let right = message(0x8180, &[(ASKED, 1, &[10, 0, 0, 1])]);
        assert_eq!(answer(&right), Some(found(&["10.0.0.1"])));
        // Its id, that it is an answer, its operation, its number of questions, its name, type and class.
        for (at, byte) in [(1, 8), (2, 0x01), (2, 0x89), (5, 0), (HEAD + 1, b'b'), (HEAD + 7, 28), (HEAD + 9, 3)] {
            let mut wrong = right.clone();
            wrong[at] = byte;
            assert_eq!(answer(&wrong), None, "{at}");
        }
    }

    #[test]
    fn a_name_that_points_forward_or_to_itself_is_none() {
        let itself = u8::try_from(message(0x8180, &[]).len()).unwrap();
        for owner in [&[0xc0, itself][..], &[0xc0, itself + 1], &[1, b'a', 0xc0, itself], &[0xff, 0xff], &[0x40, 0]] {
            let message = message(0x8180, &[(owner, 1, &[10, 0, 0, 1])]);
            assert_eq!(answer(&message), Some(Answer::Misbehaving), "{owner:?}");
        }
        let endless = message(0x8180, &[(&[&[63; 64][..], &[63; 64], &[63; 64], &[63; 64]].concat(), 1, &[])]);
        assert_eq!(answer(&endless), Some(Answer::Misbehaving));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), records in 0_u8..5) {
            answer(&bytes);
            // The same behind a head and a question that are right.
            let mut message = message(0x8180, &[]);
            message[7] = records;
            message.extend(bytes);
            prop_assert!(answer(&message).is_some());
        }

        #[test]
        fn a_changed_answer_makes_it_no_panic(at in 0_usize..60, byte: u8, cut in 0_usize..60) {
            let www: &[u8] = b"\x03www\xc0\x0c";
            let mut message = message(0x8180, &[(ASKED, CNAME, www), (www, 1, &[10, 0, 0, 1])]);
            let length = message.len();
            message[at % length] = byte;
            message.truncate(length - cut % length);
            answer(&message);
        }
    }
}
