using System.Globalization;
using System.Text;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>Makes dead letters: the record as it was, with its history in headers.</summary>
internal static class DeadLetters
{
    private const int MaxMessageLength = 2_000;
    private const int MaxStackLength = 8_000;

    public static string TopicOf(string endpoint) => $"{endpoint}.dead-letters";

    public static ProducerRecord Create(
        EndpointDefinition endpoint, ConsumerRecord record, Exception failure, int attempts, DateTimeOffset firstFailure, DateTimeOffset lastFailure)
    {
        // A dead letter that was sent back and failed again tells its last history, and does not grow.
        List<RecordHeader> headers = [.. record.Headers.Where(header => !DeadLetterHeaders.Contains(header.Key))];
        Add(DeadLetterHeaders.Endpoint, endpoint.Name);
        Add(DeadLetterHeaders.ErrorType, failure.GetType().FullName!);
        Add(DeadLetterHeaders.ErrorMessage, Cut(failure.Message, MaxMessageLength));
        Add(DeadLetterHeaders.ErrorStack, Cut(failure.ToString(), MaxStackLength));
        Add(DeadLetterHeaders.Attempts, attempts.ToString(CultureInfo.InvariantCulture));
        Add(DeadLetterHeaders.FirstFailure, Time(firstFailure));
        Add(DeadLetterHeaders.LastFailure, Time(lastFailure));
        Add(DeadLetterHeaders.OriginTopic, record.TopicPartition.Topic);
        Add(DeadLetterHeaders.OriginPartition, record.TopicPartition.Partition.ToString(CultureInfo.InvariantCulture));
        Add(DeadLetterHeaders.OriginOffset, record.Offset.Value.ToString(CultureInfo.InvariantCulture));
        return new ProducerRecord { Topic = endpoint.DeadLetterTopic, Key = record.Key, Value = record.Value, Headers = headers, Timestamp = lastFailure };

        void Add(string key, string value) => headers.Add(new RecordHeader(key, Encoding.UTF8.GetBytes(value)));
    }

    private static string Cut(string text, int length) => text.Length <= length ? text : text[..length];

    private static string Time(DateTimeOffset time) => time.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture);
}
