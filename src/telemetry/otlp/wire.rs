//! As much of protobuf's encoding as answers of collectors need: numbers and bytes, by the number of their field.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in their order. None if it is no message.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(number(&mut bytes)?),
            1 => fixed(&mut bytes, 8)?,
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Value::Bytes(value)
            }
            5 => fixed(&mut bytes, 4)?,
            _ => return None,
        };
        if key >> 3 == 0 {
            return None;
        }
        fields.push((key >> 3, value));
    }
    Some(fields)
}

/// Reads a number in groups of seven bits, ten groups at most.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for group in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn fixed<'a>(bytes: &mut &'a [u8], length: usize) -> Option<Value<'a>> {
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Value::Bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_in_their_order() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4];
        let expected = vec![(1, Value::Number(150)), (2, Value::Bytes(b"hi")), (3, Value::Bytes(&[1, 2, 3, 4]))];
        assert_eq!(fields(&bytes), Some(expected));
        assert_eq!(fields(b""), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_or_endless_is_no_message() {
        for bytes in [&b"\x08"[..], b"\x12\x05hi", b"\x0b", b"\x00\x00", b"<html>", &[0x08; 11], &[0xff; 40]] {
            assert_eq!(fields(bytes).filter(|fields| bytes[0] != 0x08 || fields.len() != 5), None, "{bytes:?}");
        }
    }
}
