"""Texts with numbered steps, and texts that only look like it."""

from __future__ import annotations

import pytest

from rephrase_worker.quality.structure import holds

GOOD = {
    "as asked": "# Bread\n\n1. Mix the flour.\n2. Let it rest.\n3. Bake it.",
    "two": "1. Mix the flour.\n2. Bake it.",
    "in prose": "You will learn to bake.\n\n1. Mix.\n\nThis is easy.\n\n2. Bake.\n\nIn short, mix and bake.",
    "brackets": "1) Mix the flour.\n2) Bake it.",
    "in brackets": "(1) Mix the flour.\n(2) Bake it.",
    "words": "Step 1: Mix the flour.\n\nStep 2: Bake it.",
    "words with periods": "Step 1. Mix the flour.\n\nStep 2. Bake it.",
    "words with dashes": "Step 1 - Mix the flour.\n\nStep 2 – Bake it.",
    "bold words": "**Step 1:** Mix the flour.\n\n**Step 2:** Bake it.",
    "bold lines": "**Step 1: Mix**\nMix the flour.\n\n**Step 2: Bake**\nBake it.",
    "headings": "# Bread\n\n## Step 1: Mix\n\nMix the flour.\n\n## Step 2: Bake\n\nBake it.",
    "numbered headings": "# Bread\n\n### 1. Mix\n\nMix the flour.\n\n### 2. Bake\n\nBake it.",
    "bare headings": "### Step 1\nMix the flour.\n\n### Step 2\nBake it.",
    "bold titles": "1. **Mix:** Mix the flour.\n2. **Bake:** Bake it.",
    "bold numbers": "**1.** Mix the flour.\n**2.** Bake it.",
    "without periods": "1. Mix the flour\n2. Let it rest\n3. Bake it",
    "bullets inside": "1. Mix:\n   - flour\n   - water\n2. Bake:\n   - one hour",
    "numbers inside": "1. Mix:\n   1. flour\n   2. water\n2. Bake:\n   1. one hour",
    "numbers start again in sections": "## Mix\n1. Flour.\n2. Water.\n\n## Bake\n1. Heat.\n2. Wait.",
    "twelve": "\n".join(f"{number}. Do it." for number in range(1, 13)),
    "said twice": "1. Step 1: Mix the flour.\n2. Step 2: Bake it.",
    "quoted": "> 1. Mix.\n> 2. Bake.",
    "windows": "1. Mix the flour.\r\n\r\n2. Bake it.\r\n",
    "lessons": "Lesson 1: Flour\n\nFlour is ground.\n\nLesson 2: Water\n\nWater is wet.",
    "german": "Schritt 1: Mischen.\n\nSchritt 2: Backen.",
    "french": "### Étape 1 : Mélanger\nMélangez.\n\n### Étape 2 : Cuire\nFaites cuire.",
    "spanish": "**Paso 1.** Mezclar.\n\n**Paso 2.** Hornear.",
    "russian": "Шаг 1. Смешать.\nШаг 2. Испечь.",
    "chinese": "1、混合面粉。\n2、烘烤。",
    "chinese words": "步骤1：混合面粉。\n步骤2：烘烤。",
    "chinese digits": "第一步：混合面粉。\n第二步：烘烤。",
    "chinese lists": "一、混合面粉。\n二、烘烤。",
    "japanese": "ステップ1：混ぜます。\nステップ2：焼きます。",
    "korean": "1단계: 섞습니다.\n2단계: 굽습니다.",
    "vietnamese": "Bước 1: Trộn bột.\nBước 2: Nướng.",
    "arabic": "الخطوة 1: اخلط.\nالخطوة 2: اخبز.",
}

BAD = {
    "one": "1. Mix the flour.",
    "a number is skipped": "1. Mix.\n2. Wait.\n4. Bake.",
    "a number repeats": "1. Mix.\n2. Wait.\n2. Bake.",
    "always one": "1. Mix.\n1. Wait.\n1. Bake.",
    "counts down": "3. Mix.\n2. Wait.\n1. Bake.",
    "does not begin with one": "4. Mix.\n5. Wait.\n6. Bake.",
    "bullets": "- Mix.\n- Wait.\n- Bake.",
    "prose": "First mix the flour. Then let it rest. At last bake it.",
    "numbers within a line": "The steps are: 1. mix; 2. wait; 3. bake.",
    "years": "1714. A prize is offered.\n1761. The clock is tried.",
    "decimals": "1.5 litres of water.\n2.5 kilograms of flour.",
    "times": "1:30 Mix.\n2:30 Bake.",
    "amounts": "1 kilogram of flour\n2 litres of water\n3 eggs",
    "cut behind a number": "1. Mix the flour.\n2. Let it rest.\n3.",
    "cut behind a word": "Step 1: Mix the flour.\nStep 2: Let it rest.\nStep 3:",
    "cut behind a heading": "### Step 1: Mix\nMix it.\n\n### Step 2: Wait\nWait.\n\n### Step 3: Bake",
    "cut in a step": "1. Mix the flour.\n2. Let it rest.\n3. Bake it for as",
    "cut in the prose of a step": "1. Mix\n\nMix the flour.\n\n2. Wait\n\nLet it rest until the",
    "empty steps": "1.\n2.\n3.",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_holds(text: str) -> None:
    assert holds("steps", text)
    assert not holds("prose", text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_does_not_hold(text: str) -> None:
    assert not holds("steps", text)
