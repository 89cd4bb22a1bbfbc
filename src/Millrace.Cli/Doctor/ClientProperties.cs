using System.Globalization;
using Millrace.Kafka;

namespace Millrace.Cli.Doctor;

/// <summary>The settings of a client from a properties file, as Kafka's own tools take it by <c>--command-config</c>.</summary>
internal static class ClientProperties
{
    /// <summary>Sets what is known; names that no option has are left, as Kafka's tools leave them.</summary>
    /// <exception cref="FormatException">A value makes no sense.</exception>
    public static void Apply(IReadOnlyDictionary<string, string> properties, KafkaClientOptions options)
    {
        foreach ((string name, string value) in properties)
        {
            switch (name)
            {
                case "bootstrap.servers":
                    options.BootstrapServers = value;
                    break;
                case "client.id":
                    options.ClientId = value;
                    break;
                case "request.timeout.ms":
                    options.RequestTimeout = Milliseconds(name, value);
                    break;
                case "default.api.timeout.ms":
                    options.ApiTimeout = Milliseconds(name, value);
                    break;
                case "socket.connection.setup.timeout.ms":
                    options.ConnectTimeout = Milliseconds(name, value);
                    break;
                case "security.protocol" when value != "PLAINTEXT":
                    throw new FormatException($"security.protocol={value}: this command connects in plain text only.");
            }
        }
    }

    private static TimeSpan Milliseconds(string name, string value) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long milliseconds) && milliseconds > 0
            ? TimeSpan.FromMilliseconds(milliseconds)
            : throw new FormatException($"{name}={value} is not a number of milliseconds.");
}
