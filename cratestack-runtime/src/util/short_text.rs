use std::fmt;
use std::ops::Deref;

/// As long as a digest in hexadecimal digits; most keys are shorter.
const SHORT_BYTES: usize = 64;

/// A text that lies in place where it is short, as the names and keys of most requests are.
#[derive(Clone)]
pub(crate) struct ShortText(Text);

#[derive(Clone)]
enum Text {
    Short { bytes: [u8; SHORT_BYTES], length: u8 },
    Long(Box<str>),
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        let (Some(place), Ok(length)) = (bytes.get_mut(..text.len()), u8::try_from(text.len())) else {
            return Self(Text::Long(text.into()));
        };
        place.copy_from_slice(text.as_bytes());
        Self(Text::Short { bytes, length })
    }
}

impl From<String> for ShortText {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // It was a text when it was put there.
            Text::Short { bytes, length } => str::from_utf8(&bytes[..usize::from(*length)]).unwrap_or_default(),
            Text::Long(text) => text,
        }
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_what_it_was() {
        for length in [0, 1, 63, 64, 65, 255, 300] {
            let text = "ä".repeat(length / 2) + &"k".repeat(length % 2);
            assert_eq!(&*ShortText::from(text.as_str()), text, "{length}");
        }
    }
}
