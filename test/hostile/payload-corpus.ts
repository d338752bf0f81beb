import { get } from 'sparkplug-payload'

type Codec = NonNullable<ReturnType<typeof get>>
type Metrics = NonNullable<Parameters<Codec['encodePayload']>[0]['metrics']>

/** A message as devices send it, and how many samples it has. */
export interface DeviceMessage {
  readonly device: string
  readonly topic: string
  readonly payload: Buffer
  readonly samples: number
}

const NODE = 'spBv1.0/plant'
const T = 1_700_000_000_000

const text = (device: string, topic: string, payload: string, samples: number): DeviceMessage => ({
  device,
  topic,
  payload: Buffer.from(payload),
  samples,
})

function sparkplug(device: string, topic: string, metrics: Metrics, samples: number): DeviceMessage {
  const codec = get('spBv1.0') as Codec
  return { device, topic, payload: Buffer.from(codec.encodePayload({ timestamp: T, metrics, seq: 1 })), samples }
}

/** In this order: data of Sparkplug need the names of the birth before them. */
export const DEVICE_MESSAGES: readonly DeviceMessage[] = [
  text('a sensor', 'sensors/kitchen/temp', '21.5', 1),
  text('a switch', 'switches/lamp', 'ON', 1),
  text(
    'zigbee2mqtt',
    'zigbee2mqtt/kitchen',
    '{"battery":97,"humidity":40.2,"linkquality":120,"occupancy":true,"temperature":21.5,"update":{"state":"idle"}}',
    5,
  ),
  text(
    'Tasmota',
    'tele/plug/SENSOR',
    '{"Time":"2023-11-15T00:13:20","ENERGY":{"TotalStartTime":"2022-01-01T00:00:00","Total":12.5,"Power":[5,7]}}',
    3,
  ),
  text(
    'Shelly',
    'shelly/status/switch:0',
    '{"id":0,"source":"init","output":false,"apower":0.0,"aenergy":{"total":5.1,"by_minute":[1,2,3],"minute_ts":1700000000}}',
    8,
  ),
  text('ESPHome', 'esp/sensor/uptime/state', '12345.00', 1),
  text('Homie', 'homie/boiler/$state', 'ready', 0),
  text(
    'Home Assistant discovery',
    'homeassistant/sensor/x/config',
    '{"name":"Temperature","state_topic":"zigbee2mqtt/x","unit_of_measurement":"\u00b0C","qos":1,"retain":false}',
    2,
  ),
  text(
    'Python',
    'lab/scope',
    '[{"ts": 1700000000.25, "value": 3, "unit": "bar"}, {"ts": 1700000001.25, "value": 4}]',
    2,
  ),
  text('a gateway of LoRaWAN', 'v3/app/devices/d/up', '{"uplink_message":{"decoded_payload":{"t":-3.5,"h":88}}}', 2),
  sparkplug(
    'a birth of Sparkplug',
    `${NODE}/NBIRTH/line1`,
    [
      { name: 'bdSeq', type: 'UInt64', value: 0 },
      { name: 'Node Control/Rebirth', type: 'Boolean', value: false },
      { name: 'Outputs/Pump', alias: 1, type: 'Boolean', value: true },
      { name: 'rpm', alias: 2, type: 'Double', value: 950.5 },
      { name: 'count', alias: 3, type: 'UInt64', value: 5_000_000_000 },
      { name: 'state', alias: 4, type: 'String', value: 'running' },
    ],
    3,
  ),
  sparkplug(
    'data of Sparkplug',
    `${NODE}/NDATA/line1`,
    [
      { alias: 2, type: 'Double', value: 951, timestamp: T + 5 },
      { alias: 3, type: 'UInt64', value: 5_000_000_001 },
    ],
    2,
  ),
  text('the end of a node of Sparkplug', `${NODE}/NDEATH/line1`, '', 0),
]
