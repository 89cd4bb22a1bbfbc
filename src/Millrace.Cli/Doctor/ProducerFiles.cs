using System.Text.Json;

namespace Millrace.Cli.Doctor;

/// <summary>
/// Finds the settings of producers in the files of an application: properties of a Kafka client, or JSON such as appsettings.json, in which every object with a
/// producer's setting counts. Names are Kafka's (<c>enable.idempotence</c>) or those of .NET (<c>EnableIdempotence</c>), whatever stands before them.
/// </summary>
internal static class ProducerFiles
{
    private const string PassedOn = ".properties.";

    private static readonly string[] s_settings = ["acks", "enable.idempotence", "max.in.flight.requests.per.connection", "retries", "max.request.size"];

    /// <summary>Those that only a producer has; a consumer's section may say the others.</summary>
    private static readonly string[] s_telling = ["acks", "enable.idempotence"];

    private static readonly Dictionary<string, string> s_synonyms = new(StringComparer.Ordinal)
    {
        ["request.required.acks"] = "acks",
        ["max.in.flight"] = "max.in.flight.requests.per.connection",
        ["max.in.flight.requests"] = "max.in.flight.requests.per.connection",
        ["message.send.max.retries"] = "retries",
        ["message.max.bytes"] = "max.request.size",
    };

    /// <exception cref="FormatException">The file is not what its name says.</exception>
    public static IReadOnlyList<ProducerConfiguration> Read(string fileName, string text) =>
        Path.GetExtension(fileName).Equals(".json", StringComparison.OrdinalIgnoreCase) ? ReadJson(fileName, text) : ReadProperties(fileName, text);

    private static IReadOnlyList<ProducerConfiguration> ReadProperties(string fileName, string text)
    {
        // Settings with the same words before them are one producer's: spring.kafka.producer.acks, orders.producer.acks.
        var byPrefix = new SortedDictionary<string, Dictionary<string, string>>(StringComparer.Ordinal);
        foreach ((string name, string value) in PropertiesFile.Parse(text))
        {
            if (SettingAt(name) is { } found)
            {
                if (!byPrefix.TryGetValue(found.Prefix, out Dictionary<string, string>? settings))
                {
                    byPrefix.Add(found.Prefix, settings = []);
                }

                settings[found.Setting] = value;
            }
        }

        // A file for one client need not say anything: then its defaults count.
        if (byPrefix.Count == 0)
        {
            byPrefix.Add("", []);
        }

        return [.. byPrefix.Select(pair => new ProducerConfiguration(pair.Key.Length == 0 ? fileName : $"{fileName} ({pair.Key}*)", pair.Value))];
    }

    private static List<ProducerConfiguration> ReadJson(string fileName, string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                text, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            var found = new List<ProducerConfiguration>();
            Collect(document.RootElement, "", fileName, found);
            return found;
        }
        catch (JsonException failure)
        {
            throw new FormatException($"{fileName} is not JSON: {failure.Message}", failure);
        }
    }

    private static void Collect(JsonElement element, string path, string fileName, List<ProducerConfiguration> found)
    {
        if (element.ValueKind == JsonValueKind.Array)
        {
            int index = 0;
            foreach (JsonElement item in element.EnumerateArray())
            {
                Collect(item, $"{path}[{index++}]", fileName, found);
            }
        }

        if (element.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        var settings = new Dictionary<string, string>();
        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (property.Value.ValueKind is JsonValueKind.Object or JsonValueKind.Array)
            {
                Collect(property.Value, path.Length == 0 ? property.Name : $"{path}:{property.Name}", fileName, found);
            }
            else if (SettingAt(DottedName(property.Name)) is { Prefix: "" } setting)
            {
                settings[setting.Setting] = property.Value.ToString();
            }
        }

        if (s_telling.Any(settings.ContainsKey))
        {
            found.Add(new ProducerConfiguration(path.Length == 0 ? fileName : $"{fileName} ({path})", settings));
        }
    }

    /// <summary>The setting that a name ends in, and what stands before it.</summary>
    private static (string Prefix, string Setting)? SettingAt(string name)
    {
        foreach ((string written, string setting) in s_settings.Select(setting => (setting, setting)).Concat(s_synonyms.Select(pair => (pair.Key, pair.Value))))
        {
            if (name == written)
            {
                return ("", setting);
            }

            if (name.EndsWith("." + written, StringComparison.Ordinal) && name.Contains("producer", StringComparison.OrdinalIgnoreCase))
            {
                // Spring gives those that it has no name for a word more: spring.kafka.producer.properties.enable.idempotence is the same producer's.
                string prefix = name[..^written.Length];
                return (prefix.EndsWith(PassedOn, StringComparison.Ordinal) ? prefix[..^(PassedOn.Length - 1)] : prefix, setting);
            }
        }

        return null;
    }

    /// <summary>EnableIdempotence and enable_idempotence as enable.idempotence.</summary>
    private static string DottedName(string name) =>
        string.Concat(name.Select((letter, index) => letter is '_' or '-' ? "." : char.IsUpper(letter) ? $"{(index > 0 ? "." : "")}{char.ToLowerInvariant(letter)}" : $"{letter}"));
}
