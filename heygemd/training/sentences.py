"""Sentences written for this project, whose words the corpus shuffles; Mandarin in pinyin for espeak-ng."""

from __future__ import annotations

import random

SENTENCES = {
    "en-us": "welcome to our show today we want to present a new product that makes your work much easier "
    "people move from one room to another while the big blue boat waits by the bridge "
    "my mother bought fresh apples bread and five small fish for the family dinner "
    "please visit our website because the offer ends very soon thank you for watching "
    "he thought the weather would change before they reached the village church "
    "she sells cheap shoes beyond the harbour and always laughs about it "
    "power public memory problem above movement important maybe purple number wool voice few wow boy",
    "cmn-latn-pinyin": "ni3hao3 huan1ying2 guan1kan4 jin1tian1 de5 jie2mu4 wo3men5 hui4 jie4shao4 gong1si1 xin1 "
    "chan3pin3 "
    "qing3 da4jia1 ren4zhen1 ting1 zhe4ge5 wen4ti2 fei1chang2 zhong4yao4 ma1ma5 ba4ba5 peng2you3 men2 "
    "bei3jing1 shang4hai3 tian1qi4 hen3 hao3 xue2xi2 sheng1huo2 mei3li4 bian4hua4 fa1zhan3 ji4shu4 "
    "wen2hua4 yi1qi3 nu3li4 cheng2gong1 xie4xie5 zai4jian4 ming2bai5 biao3shi4 kai1shi3 jie2shu4 yue4liang5 "
    "shu4zi4 ren2 dian4ying3 yin1yue4 pao3bu4 bu4 mu4biao1 fang1fa3 wu3 liu4 "
    "ba1 jiu3 er4 you3 yu2",
    "de": "willkommen zu unserer sendung heute zeigen wir ein neues produkt das ihre arbeit viel leichter macht "
    "der große blaue wagen fährt über die brücke und bleibt vor dem bahnhof stehen "
    "meine mutter kauft frische äpfel brot und fünf kleine fische für das abendessen am mittwoch "
    "bitte besuchen sie uns bald wieder vielen dank für ihre aufmerksamkeit schöne grüße",
    "fr": "bienvenue dans notre émission aujourd'hui nous voulons présenter un nouveau produit pour votre travail "
    "le grand bateau bleu passe sous le pont pendant que ma mère prépare des pommes et du pain "
    "bonjour à tous vous pouvez visiter notre boutique demain matin beaucoup de monde rouge jeune fleur peu",
    "es": "bienvenidos a nuestro programa hoy queremos mostrar un producto nuevo que mejora su trabajo "
    "mi madre compra manzanas frescas pan y cinco peces pequeños para la familia "
    "el barco azul pasa bajo el puente mientras el pueblo espera muchas gracias por su atención",
    "it": "benvenuti al nostro programma oggi vogliamo presentare un nuovo prodotto che migliora il vostro lavoro "
    "mia madre compra mele fresche pane e cinque piccoli pesci per la famiglia grazie mille buona giornata",
    "pt-br": "bem vindos ao nosso programa hoje queremos mostrar um produto novo que melhora o seu trabalho "
    "minha mãe compra maçãs frescas pão e cinco peixes pequenos para a família muito obrigado até amanhã",
    "ru": "добро пожаловать в нашу программу сегодня мы хотим показать новый продукт который поможет вашей работе "
    "моя мама покупает яблоки хлеб и пять маленьких рыб для семьи большое спасибо за внимание",
    "pl": "witamy w naszym programie dzisiaj chcemy pokazać nowy produkt który ułatwi waszą pracę "
    "moja mama kupuje jabłka chleb i pięć małych ryb dla rodziny bardzo dziękuję za uwagę",
    "nl": "welkom bij ons programma vandaag willen wij een nieuw product laten zien dat uw werk makkelijker maakt "
    "mijn moeder koopt verse appels brood en vijf kleine vissen voor het gezin bedankt voor het kijken",
    "ja": "こんにちは みなさん きょう は あたらしい しょうひん を ごしょうかい します "
    "はは は りんご と ぱん と ちいさな さかな を かいました ありがとう ございます また あした",
    "ko": "안녕하세요 여러분 오늘 우리는 새로운 제품을 소개하고 싶습니다 어머니는 사과와 빵과 작은 물고기를 샀습니다 "
    "봐 주셔서 감사합니다 내일 다시 만나요",
}


def sentence(language: str, chooser: random.Random) -> str:
    """Return a few words of a language, successive or random ones, sometimes with a pause."""
    words = SENTENCES[language].split()
    count = chooser.randint(4, 12)
    if chooser.random() < 0.4:
        start = chooser.randrange(max(1, len(words) - count))
        picked = words[start : start + count]
    else:
        picked = chooser.choices(words, k=count)
    cut = chooser.randrange(2, count)
    return " ".join(picked[:cut]) + chooser.choice([", ", " ", " ", ". "]) + " ".join(picked[cut:]) + "."
