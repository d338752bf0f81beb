/**
 * Names that exporters give their columns, in several languages. A name is compared without case,
 * accents, units in brackets and marks between its words.
 */

/** Words that make a column the time, the surest first. */
const TIME_NAMES =
  words(`_time timestamp datetime date_time time ts __timestamp__ event_time eventtime epoch unixtime unix_time clock at when
  zeitstempel zeit datum_zeit datumzeit messzeit horodatage date_heure dateheure heure fecha_hora fechahora hora tiempo data_ora dataora ora orario
  tijdstip datumtijd tijd czas data_hora datahora tidpunkt tid
  last_changed recorded_at measured_at observed_at sampled_at created_at created date datum fecha data zeitpunkt`)

/** Times that are not when a value was measured. */
const OTHER_TIMES =
  words(`max_time min_time _start _stop start stop end begin start_time end_time stop_time starttime endtime last_updated updated updated_at modified
  modified_at received received_at ingested ingested_at inserted inserted_at expires deleted_at`)

/** The last three may be one of several series, too. */
const VALUE_NAMES =
  words(`value _value __value__ val wert messwert valeur valor valore waarde wartosc varde state reading measurement_value
  metric_value sensor_value var_value tag_value last_value lastvalue value_num numeric_value v y sample`)

const KEY_NAMES =
  words(`key metric metric_name metricname series series_name seriesname name __name__ device device_id deviceid device_name devicename sensor sensor_id
  sensorid sensor_name sensorname tag tag_name tagname tags host hostname host_name server node instance job pod container namespace service entity entity_id
  entityid item item_id itemid item_name item_key itemkey channel station station_id location site room area asset machine machine_id line plant unit_id
  _measurement _field measurement field variable parameter param point source topic region zone cluster signal label_name object id uid uuid
  ort geraet gerat sensorname messstelle messpunkt kanal standort anlage maschine bezeichnung raum kennung schluessel schlussel
  capteur appareil nom lieu machine canal variable point_de_mesure dispositivo sensore nombre nome punto ubicacion luogo equipo macchina
  apparaat naam locatie urzadzenie nazwa czujnik enhet namn plats dimensions labels identifier scope var_name statistic_id channel_name datapoint data_point variable_name`)

/** Names that also head row numbers and other texts which are unique in each row. */
const WEAK_KEY_NAMES = words('id uid uuid name nom naam nombre nome item_id identifier')

const ROW_NUMBER_NAMES =
  words(`id index idx row rownum row_number rowid row_id no nr num number record rec recno rn seq sequence sequence_number n line lfd_nr
  lfdnr nummer numero unnamed_0 observation obs entry`)

const NOTE_NAMES =
  words(`note notes comment comments remark remarks bemerkung kommentar commentaire comentario description desc message msg text unit units einheit
  unite unidad quality qualitaet qualitat status state flag flags severity level error valid type kind result table label class alarm ok zustand ns
  summary condition conditions weather precip_type`)

/** Numbers that describe a row and are not measured. */
const LABEL_NAMES =
  words(`label is_anomaly anomaly anomaly_score serial serial_number serialnumber validity time_ms is_outlier outlier ground_truth changepoint target class score_label quality flag flags ns
  year month weekday day_of_year dayofyear hour minute second jahr monat tag_nr stunde latitude longitude lat lon lng`)

export type NameKind = 'time' | 'other-time' | 'value' | 'key' | 'weak-key' | 'row-number' | 'note' | 'label'

const KINDS: Readonly<Record<NameKind, readonly string[]>> = {
  time: TIME_NAMES,
  'other-time': OTHER_TIMES,
  value: VALUE_NAMES,
  key: KEY_NAMES,
  'weak-key': WEAK_KEY_NAMES,
  'row-number': ROW_NUMBER_NAMES,
  note: NOTE_NAMES,
  label: LABEL_NAMES,
}

/** Returns a name in the form in which names are compared. */
export function normalName(name: string): string {
  return name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/\s*[([{].*$/u, '')
    .replace(/,.*$/u, '')
    .replace(/(\p{Ll})(\p{Lu})/gu, '$1_$2')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_]+/gu, '_')
    .replace(/_+$/u, '')
}

/** Whether a normal name is of a kind. */
export function isNamed(name: string, kind: NameKind): boolean {
  return rankOf(name, kind) >= 0
}

/** Returns the place of a normal name among those of a kind; -1 if it is none of them. */
export function rankOf(name: string, kind: NameKind): number {
  const list = KINDS[kind]
  const rank = list.indexOf(name)
  return rank >= 0 || !name.startsWith('_') ? rank : list.indexOf(name.replace(/^_+/, ''))
}

/** Whether a normal name is of a key, or ends as such names do. */
export function isKeyName(name: string): boolean {
  return isNamed(name, 'key') || /_(id|name|key|tag)$/.test(name)
}

/** Whether a normal name ends as those of row numbers and record ids do. */
export function isIdName(name: string): boolean {
  return isNamed(name, 'row-number') || /(^|_)(id|uuid|guid|no|nr|number|index|idx|seq)$/.test(name)
}

/** Whether a normal name ends as those of ids do. */
export function isRecordId(name: string): boolean {
  return /(^|_)(id|uuid|guid)$/.test(name)
}

/** Whether a normal name is an hour of the day, in several languages. */
export function isHourName(name: string): boolean {
  return /^(hour|hours|hr|hour_ending|hour_of_day|stunde|heure|hora|ora|uur|godzina)$/.test(name)
}

/** Whether a normal name is of the time since a start, which needs no date. */
export function isElapsedName(name: string): boolean {
  return /^(t|x|x_value|millis|micros|ms|elapsed|elapsed_.*|uptime|uptime_.*|seconds|secs?|time_since_.*|.*_elapsed)$/.test(
    name,
  )
}

const FIELDS = [
  /^(year|yr|yyyy|jahr|annee|ano|anno|jaar|rok|ar)$/,
  /^(month|mon|mo|monat|mois|mes|mese|maand|miesiac|manad)$/,
  /^(day|dd|day_of_month|tag|jour|dia|giorno|dag|dzien)$/,
  /^(hour|hours|hr|hh|stunde|heure|hora|ora|uur|godzina|timme)$/,
  /^(minute|minutes|min|minuto|minuta|minuut|minut)$/,
  /^(second|seconds|sec|sekunde|seconde|segundo|secondo|sekunda|sekund)$/,
]

/** Whether a normal name is a field of a time: 0 for the year to 5 for the second. */
export function isFieldName(name: string, field: number): boolean {
  return FIELDS[field]?.test(name) ?? false
}

/** Whether a normal name is of milliseconds; `isSure` leaves out the names of durations. */
export function isMillisecondName(name: string, isSure: boolean): boolean {
  if (/^(millisecond|millisekunde|milliseconde|milisegundo|milissegundo|millisecondo)[sn]?$/.test(name)) return true
  return !isSure && /^(ms|msec|msecs|millis|milli)$/.test(name)
}

/** Whether a normal name has a word that names times, such as `zeitpunkt_der_messung`. */
export function hasTimeWord(name: string): boolean {
  return /(^|_)(timestamp|datetime|time|ts|date|zeit|datum|zeitstempel|horodatage|fecha|tijd|utc|gmt)(_|$)|timestamp|datetime|^date|zeit$|^pdh_csv/.test(
    name,
  )
}

function words(text: string): readonly string[] {
  return text.split(/\s+/)
}
