"""Which sentences are behind a number? Tables for pandas, a widget for notebooks, a page for everybody."""

from ner_utils.explorer.ask import ask
from ner_utils.explorer.mentions import StudyMentions, browse, load_mentions
from ner_utils.explorer.widget import explore
