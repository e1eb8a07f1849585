"""Lists the words by which a reasoning is analysed: directions, cues, negations, and words too common to be evidence.

And words that `masking` goes by: ordinary ones that are tickers or names of companies too, and what is counted.
"""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


UP = _set(
    "up upward upwards rise rises rising rose higher gain gains increase increases increasing climb climbs bullish "
    "rally rallies rebound rebounds recover recovers recovery positive upside advance advances buy strengthen"
)
DOWN = _set(
    "down downward downwards fall falls falling fell lower lose loses loss losses decrease decreases decreasing drop "
    "drops decline declines declining bearish slide slides selloff negative downside retreat retreats sell weaken"
)
NOT = _set("not no never unlikely hardly without cannot against won't don't doesn't isn't n't")
CONCLUDING = _set("expect expects expecting predict forecast so therefore thus hence overall conclude likely")
CUES = CONCLUDING | _set(
    "should will suggests suggest points point support supports favours favors favour favor means mean indicates "
    "indicate signals signal argues argue implies imply"
)
COMMON = _set(
    "the company companies stock stocks share shares news headline headlines market price prices close closes today "
    "that this with from have has will been were after before into over more than about their they what when which "
    "would could should there here also just very some"
)

ORDINARY = _set(
    # Short words that are tickers too.
    "able act add ads age ago air all also am an and any app apps are area arm army art as at away baby back bad ball "
    "band bar base be bear beat bed been best bet beta big bill bird bit blue boat body bold bond boom boot both box "
    "boy brew bug bull burn bus but buy by cake call calm can cap car card care case cash cat cause chart chat cheap "
    "chip city clay clean clear clip close cloud club coal cold cook cool core corn cost crop cup cut cuts dare dark "
    "data date day days dead deal debt deep demo desk did diet dig disk dna do dog door dow down draw drip drop drug "
    "dry due dust each ear earn ease east easy eat edge edit egg else end ends era even ever eye eyes face fact fair "
    "fall fan fang far farm fast fat fate feed feel few file fill film find fire firm first fish fit five fix flag "
    "flat flex flow fly foot for fork form fox free from fuel full fun fund funds gain gains game gap gas gate get "
    "gift gig give glad glue go goal goes gold golf good grid grow gun hack half hand hands hard has hat hate have he "
    "head heal hear heart heat held help her here high him hit hive hold home hood hope host hot hour house how huge "
    "hunt ice icon idea if in inn into iron is it its jack jam jet job jobs join joint joy jump just keep key keys "
    "kid kids kind king know lab lake land large last late law lead leads leap left leg less let life lift light like "
    "limit line link lion list lit live load loan lock long look loop loss lost lot love low luck made mail main make "
    "man many map maps mark mass mat match max may me mean meat med meet men met mid mild mind mini mint miss mix "
    "mode model moms moo mood moon more most move my name near neck need nest net new news next nice nine no node "
    "none nose not note now nut ocean of off oil old on once one only onto open opt or our out over own pace pack "
    "page paid pain pair palm park part past path pay peak peer pen per pet pick pie pike pill pin pine pink pins "
    "pipe pit plan play plow plug plus point poll pool poor pop port post pot power price pro prop pub pull pump pure "
    "push put quick race rail rain ran range rare rate rates raw read real red rent rest ride right ring rise risk "
    "road rock role roll roof room root rose rule run runs safe said sail sale salt same sand save say sea seat see "
    "seed sell send set she shed ship shop short show side sign sin site six size ski skin sky slow sly small smart "
    "snap snow so soft solar solo some son soon spa spin spot spy staff stag star stay steel stem step stock stone "
    "stop store storm sun super sure swim tale talk tap task tax team tech tell ten term test text than that the then "
    "they thin thing this three time tip tips to today ton took tool top tops total touch town toy track trade trip "
    "true trust try turn twin two unit up us use vale value van very via view vote wait wake walk wall want war was "
    "wash watch water wave way we weak wear web week well were west what wheel when who why wide will win wind wine "
    "wing wire wish with wolf wood word work world worth yes yet yield you your zero "
    # First words of companies.
    "academy advance advanced agree alliance allied alpha altitude american analog annual applied arch asset "
    "associated assured atlantic automatic banc bank block boston bridge bright broad builders building business "
    "cable california canadian capital cardinal carnival casino central century charter check chemical chicago china "
    "choice citizens class coach columbia comfort commerce commercial community companies company compass computer "
    "conduit consolidated constellation construction consumer container continental cross crown customers digital "
    "discover discovery diversified dollar dominion dutch dynamic eagle eastern electric electronic emerging "
    "enterprise entertainment envision equity essential european exact expand express extra federal fidelity fifth "
    "financial flowers force fortune four franchise franklin freedom frontier future general genuine global globe "
    "golden grand great green group guardian guess harmony health healthcare heritage hospitality hub human ideal "
    "independence independent industrial innovative insight installed integrated interactive international intuitive "
    "invest investors journey kite laboratory lands legacy legal liberty lincoln lucky magic manhattan marathon "
    "marine market markets marvel masters matrix medical medicine mercury meridian metal metro mission mobile modern "
    "monster motor national natural nature network neutral noble north northern northwest nuclear omega orange "
    "oriental pacific packaging paramount people performance permian pilot pinnacle pioneer plains planet platinum "
    "polar position potential precision premier prime principal private professional progress progressive prospect "
    "prosperity public quality quantum quest radiant rapid realty regency regional regions reliance republic research "
    "resource resources restaurant retail rocket royal science sealed security select service services seven shift "
    "signature silver simple simply social source south southern southwest space special spirit sports spring square "
    "standard state steady sterling strategic summit sunrise surface target technology texas third transport travel "
    "treasure tree triumph trustee union unique united universal ups urban utility valley vision vista vital volt "
    "warrior waste western white whole wild wonder yellow"
)
"""Ordinary words of news that are tickers too, or the first word of a company's name: alone they name no company."""
SHORTENED = _set(
    "a ag ai am ar ceo cfo co ct dc ebit ecb eps etf eu ev fda fed fx gdp hr i id ip ipo ir it iv ma md mr pc pe pm "
    "pr re roi sec st tv uk us usa vr vs yoy"
)
"""What stands in capitals for something else than a ticker of the same letters."""
COUNTED = _set(
    "jobs positions posts roles workers employees staff people persons members customers clients users subscribers "
    "patients companies firms banks advisers stores shops outlets restaurants branches offices locations sites homes "
    "houses cars vehicles trucks planes jets aircraft units copies shares contracts points pts times tonnes tons "
    "barrels ounces miles km feet acres mw gw megawatts rooms seats hours dollars euros pounds yen usd eur cents bps "
    "bp basis percent percentage pct ppt thousand million mln mn billion bln bn trillion hundred dozen layoffs "
    "redundancies hires pilots drivers flights"
)
"""What a number before it counts, so that it is neither a day nor a year."""
LEGAL = _set(
    "inc incorporated corp corporation co company companies ltd limited plc llc lp nv sa ag se ab asa oyj spa kgaa "
    "gmbh holding holdings group &"
)
"""Ends of companies' names that news leave out."""
