"""Texts that every sealed encoder keeps the vectors of: short, long, and from many scripts."""

TEXTS = [
    "",
    "a",
    "Magnetite is the iron oxide that attracts and repels.",
    "How do I reset my password?",
    "The mitochondria is the powerhouse of the cell",
    "Zero-dimensional biomaterials lack inductive properties.",
    "0123456789 3.14159 -273.15 1e-9 $1,000,000.00 50% 2026-11-22",
    "don't can't it's the authors' rock'n'roll e-mail state-of-the-art",
    "def dot(a, b): return sum(x * y for x, y in zip(a, b))",
    "https://example.org/path?query=1&page=2#top user@example.org",
    "SHOUTING, whispering… and “quoting” — with dashes!?",
    "Ein Überraschungsei für die Straßenbahnfahrerin in Köln",
    "L'été dernier, naïve, elle a mangé une crème brûlée à Noël",
    "Быстрая коричневая лиса прыгает через ленивую собаку",
    "μια γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί",
    "敏捷的棕色狐狸跳过了懒狗",
    "素早い茶色の狐がのろまな犬を飛び越える",
    "다람쥐 헌 쳇바퀴에 타고파",
    "نص حكيم له سر قاطع وذو شأن عظيم",
    "תוכנה חופשית היא עניין של חירות",
    "सभी मनुष्य जन्म से स्वतंत्र तथा समान हैं",
    "ทดสอบภาษาไทยไม่มีช่องว่าง",
    "👩‍🔬 measured 🧲 and 🧭, é é Å Å ﬁ ½",
    "tabs\tand\nnew lines\r\nand   spaces ​and\u00a0others",
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "a" * 120,
    "A contrastive encoder is trained so that texts which belong together lie close to each other, "
    "and texts which do not are pushed apart. The data say what belongs together: a question "
    "and its answer, a title and its abstract, a sentence and its translation.",
    "The needle of a compass points north because the earth is a magnet. " * 8,
    "word " * 300,
    "Compressed inverted lists, product quantizers and exact re-scoring. " * 60,
]

PAIRS = [(query, TEXTS[place * 7 % len(TEXTS)]) for place, query in enumerate(TEXTS)]
"""What every sealed cross-encoder keeps the scores of: each text once on either side."""
