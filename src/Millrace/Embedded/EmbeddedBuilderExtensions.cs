using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Millrace;

/// <summary>Runs the log inside the application.</summary>
public static class EmbeddedBuilderExtensions
{
    /// <summary>
    /// Runs the log inside the application: a Kafka broker of one node, with its data in a directory. An acknowledged
    /// message is on the disk.
    /// </summary>
    /// <param name="millrace">The builder.</param>
    /// <param name="configure">Sets options; null for the defaults, which keep the data in <c>data</c> and listen nowhere.</param>
    /// <returns>The builder.</returns>
    public static MillraceBuilder UseEmbedded(this MillraceBuilder millrace, Action<EmbeddedOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(millrace);
        millrace.Services.AddOptions<EmbeddedOptions>();
        if (configure is not null) millrace.Services.Configure(configure);
        millrace.Services.TryAddSingleton(services => new EmbeddedBroker(
            services.GetRequiredService<IOptions<EmbeddedOptions>>(),
            services.GetRequiredService<IOptions<MessagingOptions>>(),
            services.GetRequiredService<ILoggerFactory>()));
        return millrace.UseLog((services, cancellationToken) => services.GetRequiredService<EmbeddedBroker>().StartAsync(cancellationToken), nameof(UseEmbedded));
    }
}
